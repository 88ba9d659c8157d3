"""What a tuned sampling holds for: written into its configuration, and looked at by every run.

`tts tune-sampling` saves `DIR/tuned/NAME.yaml`, which `tts run --config-dir DIR +tuned=NAME` lays
over a configuration. The best temperature of a model says little of the same model quantised, and
less of another one, so a run with other weights or another scheme is refused; of another task or
strategy it is warned.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tts.backends.replay import ReplayBackend
from tts.backends.vllm import VLLMBackend
from tts.errors import ConfigError
from tts.protocols import Backend, Strategy

FIELD = "sampling_tuned_for"
"""Of a configuration, with what its sampling was tuned for."""

_LOG = logging.getLogger("tts.tuning")
_OUT = f"Tune it as well (tts tune-sampling), or set {FIELD}=null to take it as it is."


class TunedFor(BaseModel):
    """What a sampling was tuned for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(description="Its name, as the user gave it.")
    weights: str | None = Field(description="Hash of its weights; null if unknown.")
    scheme: str | None = Field(description="Format of weights and activations; null if unknown.")
    task: str = Field(description="Name of the task.")
    strategy: str = Field(description="Name of the strategy, with its n if it has one.")

    @classmethod
    def of(cls, backend: Backend, task: str, strategy: Strategy) -> TunedFor:
        """What a run is about."""
        n = getattr(strategy, "n", None)
        name = type(strategy).__name__ + ("" if n is None else f" n={n}")
        return cls(
            model=backend.model.name,
            weights=backend.identity().get("weights"),
            scheme=scheme_name(backend),
            task=task,
            strategy=name,
        )


def scheme_name(backend: Backend) -> str | None:
    """The scheme that the bundled engine runs its model in; None for any other backend."""
    inner = backend.inner if isinstance(backend, ReplayBackend) else backend
    if not isinstance(inner, VLLMBackend):
        return None
    config = inner.engine.config
    return config.scheme.name if config.scheme else config.dtype


def short_hash(weights: str) -> str:
    """The beginning of a hash, and of that of the adapter that may stand behind it."""
    return "+".join(part[:8] for part in weights.split("+"))


def check_tuned(config: Mapping[str, Any], backend: Backend, task: str, strategy: Strategy) -> None:
    """Refuse a sampling that was tuned for other weights or another scheme.

    Of another task or strategy it is warned.

    Args:
        config: Of the run; nothing happens unless it holds a tuned sampling.
        backend: Of the run.
        task: Name of its task.
        strategy: Of the run.

    Raises:
        ConfigError: It was tuned for another model, or the configuration says nonsense.
    """
    node = config.get(FIELD)
    if node is None:
        return
    try:
        meant = TunedFor.model_validate(node)
    except ValidationError as error:
        raise ConfigError(
            f"{FIELD} cannot be used: {error.errors()[0]['msg']}.", hint=f"Set {FIELD}=null."
        ) from error
    here = TunedFor.of(backend, task, strategy)
    if meant.weights and here.weights:
        if meant.weights != here.weights:
            raise ConfigError(
                f"{FIELD}: this sampling was tuned for {meant.model} with weights"
                f" {short_hash(meant.weights)}, and {here.model} has weights"
                f" {short_hash(here.weights)}.",
                hint=_OUT,
            )
    elif meant.model != here.model:
        raise ConfigError(
            f"{FIELD}: this sampling was tuned for {meant.model}, and this is {here.model}.",
            hint=_OUT,
        )
    if meant.scheme != here.scheme:
        raise ConfigError(
            f"{FIELD}: this sampling was tuned for {meant.model} in the scheme"
            f" {meant.scheme or 'unknown'}, and here it runs in {here.scheme or 'an unknown one'}.",
            hint=_OUT,
        )
    for name in ("task", "strategy"):
        wanted, found = getattr(meant, name), getattr(here, name)
        if wanted != found:
            _LOG.warning(f"The sampling was tuned for the {name} {wanted}, and this is {found}.")
