"""A finished run's configuration, with some of it changed: for work on what the run has left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tts.cli.complaints import explain, unknown_field
from tts.cli.compose import Composer, composer, paths
from tts.errors import ConfigError
from tts.evaluation.store import CONFIG

PARTS = ("task", "verifier")
"""What of a configuration judges samples."""

_WORDS = {
    "task": "the task (task.answers, ...)",
    "verifier": "the verifier",
    "model": "the model",
    "backend": "the backend",
}


def adjusted(
    folder: Path | None,
    overrides: Sequence[str],
    config_dir: Path | None,
    parts: Sequence[str] = PARTS,
) -> Mapping[str, Any]:
    """Parts of a configuration, as they were in a run or as they are by default, with changes.

    The verifier is null unless the overrides name one: samples keep the scores that they have.

    Args:
        folder: Of the run; None for the defaults of the task `jsonl`.
        overrides: As on the command line.
        config_dir: A folder of further configurations.
        parts: Which parts: some of task, verifier, model, backend.

    Raises:
        ConfigError: The folder holds no configuration, or an override fits nothing.
    """
    with composer(config_dir) as known:
        config = (
            _saved(folder, parts) if folder else known.compose(["task=jsonl", "task.path=unused"])
        )
        found = OmegaConf.masked_copy(config, list(parts))
        if "verifier" in parts:
            found.verifier = None
        asked = known.parse([line for text in overrides for line in known.normal(text)])
        for override in asked:
            _check(override, parts)
        _choose(known, found, [o for o in asked if known.is_group(_group(o))])
        for override in asked:
            if not known.is_group(_group(override)):
                _apply(found, override)
        try:
            values = OmegaConf.to_container(found, resolve=True, throw_on_missing=True)
        except OmegaConfBaseException as error:
            raise explain(error, [], []) from error
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def _check(override: Override, parts: Sequence[str]) -> None:
    if override.is_sweep_override():
        raise ConfigError(f"{override.input_line} has several values.", hint="Give one.")
    if _group(override).split(".")[0] not in parts:
        raise ConfigError(
            f"{override.input_line} says nothing of samples that are there.",
            hint=f"Change {' or '.join(_WORDS[part] for part in parts)}.",
        )


def _choose(known: Composer, parts: DictConfig, choices: Sequence[Override]) -> None:
    """Take the groups that are chosen, with those that are chosen inside of them."""
    lines = [str(override.input_line) for override in choices]
    for group in dict.fromkeys(map(_group, choices)):
        parts[group] = known.compose(lines)[group]


def _apply(parts: DictConfig, override: Override) -> None:
    key = str(override.get_key_element())
    node = OmegaConf.to_container(parts)
    assert isinstance(node, dict)
    if not key.startswith("+") and key not in (there := list(paths(node))):
        raise unknown_field(key, there)
    OmegaConf.update(parts, key.lstrip("+"), override.value(), force_add=True)


def _group(override: Override) -> str:
    """The group that an override chooses in, as `verifier` of `+verifier@verifier.parts.third`."""
    return str(override.get_key_element()).lstrip("+~").partition("@")[0]


def _saved(folder: Path, parts: Sequence[str]) -> DictConfig:
    try:
        content = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(
            f"{folder} holds no {CONFIG} that can be read.", hint="Name the folder of a run."
        ) from error
    if not isinstance(content, dict) or not set(parts) <= content.keys():
        raise ConfigError(f"{folder / CONFIG} is not the configuration of a run.")
    return OmegaConf.create(content)
