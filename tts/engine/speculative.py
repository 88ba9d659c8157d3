"""Speculative decoding: tokens are drafted cheaply, and the model checks several at once.

Which tokens come out does not depend on it, but for the luck of the draw: greedy answers are the
same, and drawn ones have the same distribution. vLLM does the work; here its settings are made of
ours, and what cannot go well is refused before anything is loaded.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tts.engine.head import weight_sizes
from tts.engine.models import resolve_model
from tts.engine.shape import Shape, read_shape
from tts.engine.text import tokenizer_identity
from tts.errors import ConfigError, Unsupported

Method = Literal["ngram", "suffix", "draft", "eagle", "eagle3", "mtp"]

_NAMES = {"draft": "draft_model"}  # where vLLM calls a method otherwise
_WITH_MODEL = ("draft", "eagle", "eagle3")
_PLACE = "model.engine.speculative"


class Speculative(BaseModel):
    """How tokens are drafted."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    method: Method = Field(
        "ngram",
        description="ngram: what followed the last tokens where they stood before; suffix: the same"
        " over all requests (needs arctic-inference); draft: a smaller model; eagle, eagle3: a head"
        " trained for the model; mtp: layers of the model's own.",
    )
    model: str | None = Field(
        None, description="The smaller model or the head: a bundled model, a path or a hub name."
    )
    tokens: int = Field(3, ge=1, description="Tokens that are drafted at a time.")
    longest: int = Field(4, ge=1, description="Of ngram: most tokens that are looked up.")
    shortest: int = Field(2, ge=1, description="Of ngram: least tokens that are looked up.")


@dataclass(frozen=True, slots=True)
class Speculation:
    """Settings with nothing left open.

    Attributes:
        words: vLLM's `speculative_config`.
        weight_bytes: Of the smaller model or the head; 0 if there is none.
    """

    words: Mapping[str, Any]
    weight_bytes: int = 0


def speculation(said: Speculative | None, base: Path, shape: Shape) -> Speculation | None:
    """What vLLM is told.

    Args:
        said: By the user; None for no speculation.
        base: Directory of the model's checkpoint.
        shape: Of the model.

    Raises:
        ConfigError: Two settings contradict each other, or the drafting model does not fit.
        ModelNotFound: The drafting model's name leads to no model.
        Unsupported: A method needs a package that is not there.
    """
    if said is None:
        return None
    _check(said, base)
    words: dict[str, Any] = {
        "method": _NAMES.get(said.method, said.method),
        "num_speculative_tokens": said.tokens,
    }
    if said.method == "ngram":
        words |= {"prompt_lookup_max": said.longest, "prompt_lookup_min": said.shortest}
    if said.method not in _WITH_MODEL:
        return Speculation(words)
    path = resolve_model(said.model or "")
    fits = _check_draft if said.method == "draft" else _check_head
    fits(said, path, base, shape)
    found = read_shape(path)
    return Speculation({**words, "model": str(path)}, found.weight_bytes)


def _check(said: Speculative, base: Path) -> None:
    """Refuse settings that contradict each other, or what is not there."""
    if said.method in _WITH_MODEL and not said.model:
        raise ConfigError(
            f"{_PLACE}.method is {said.method}, and no model drafts.", hint=f"Set {_PLACE}.model."
        )
    if said.model and said.method not in _WITH_MODEL:
        raise ConfigError(
            f"{_PLACE}.model is '{said.model}', and {said.method} drafts without a model.",
            hint=f"Leave it out, or set {_PLACE}.method=draft.",
        )
    if said.shortest > said.longest:
        raise ConfigError(
            f"{_PLACE}.shortest is {said.shortest}, above longest, which is {said.longest}."
        )
    if said.method == "suffix" and importlib.util.find_spec("arctic_inference") is None:
        raise Unsupported(
            f"{_PLACE}.method is suffix, and the package arctic-inference is not installed.",
            hint="Install it, or take method=ngram.",
        )
    if said.method == "mtp":
        config = json.loads((base / "config.json").read_text())
        whole = {**config, **config.get("text_config", {})}
        if not any(whole.get(key) for key in ("num_nextn_predict_layers", "mtp_num_hidden_layers")):
            raise ConfigError(
                f"{_PLACE}.method is mtp, and the model has no layers that draft.",
                hint="Take method=ngram, or a draft model.",
            )


def _check_draft(said: Speculative, path: Path, base: Path, shape: Shape) -> None:
    """Refuse a draft model with tokens of its own."""
    vocabulary = read_shape(path).vocabulary
    if vocabulary != shape.vocabulary:
        raise ConfigError(
            f"{_PLACE}.model '{said.model}' knows {vocabulary} tokens, and the model"
            f" {shape.vocabulary}.",
            hint="Take a smaller model of the same family.",
        )
    if tokenizer_identity(path) != tokenizer_identity(base) and _words(path) != _words(base):
        raise ConfigError(
            f"{_PLACE}.model '{said.model}' has another tokenizer than the model.",
            hint="Take a smaller model of the same family.",
        )


def _check_head(said: Speculative, path: Path, _: Path, shape: Shape) -> None:
    """Refuse what is no EAGLE head, or one of another model."""
    config = json.loads((path / "config.json").read_text())
    sizes = weight_sizes(path)
    if sizes and not any(name.endswith("fc.weight") for name in sizes):
        raise ConfigError(
            f"{_PLACE}.model '{said.model}' is no EAGLE head: it has no weights 'fc'.",
            hint="Take a head that was trained for this model, or set method=draft.",
        )
    width = config.get("target_hidden_size") or config.get("hidden_size")
    vocabulary = config.get("vocab_size")
    pairs = (("hidden size", width, shape.width), ("vocabulary", vocabulary, shape.vocabulary))
    for what, its, wanted in pairs:
        if its and its != wanted:
            raise ConfigError(
                f"{_PLACE}.model '{said.model}' was made for a {what} of {its}, and the model's is"
                f" {wanted}.",
                hint="Take a head that was trained for this model.",
            )


def _words(path: Path) -> Any:
    """The vocabulary, whatever else the tokenizer's file says; None if there is no such file."""
    file = path / "tokenizer.json"
    if not file.is_file():
        return None
    said = json.loads(file.read_text(encoding="utf-8"))
    return said.get("model", {}).get("vocab"), said.get("added_tokens")
