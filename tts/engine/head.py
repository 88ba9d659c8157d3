"""What a checkpoint answers with: a word for the next token, or values from a head of its own.

Reads `config.json` and the names and sizes in the weight files' headers; never the weights.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from tts.errors import ConfigError, ModelNotFound, Unsupported

Head = Literal["token", "sequence", "language"]

_WHOLE = "ForSequenceClassification"
# The first that an architecture's name ends with decides.
_ENDINGS: Mapping[str, Head] = {
    "ForTokenClassification": "token",
    "ForProcessRewardModel": "token",
    "ForRewardModel": "sequence",
    _WHOLE: "sequence",
    "ForCausalLM": "language",
}
# Reward models whose code fixes the number of their labels, whatever `config.json` says.
_FIXED_LABELS = {"ForProcessRewardModel": 2, "ForRewardModel": 1}
_PARTS = {"score", "classifier", "v_head"}  # of the names of a head's weights


def head_of(config: Mapping[str, Any]) -> Head | None:
    """The head that `architectures` in a model's configuration names; None if it is no known one.

    Args:
        config: Contents of `config.json`.
    """
    name = _architecture(config)
    return next((head for ending, head in _ENDINGS.items() if name.endswith(ending)), None)


def labels_of(config: Mapping[str, Any]) -> int:
    """Values in a row of a classification head; 0 for a model without one."""
    if head_of(config) not in ("token", "sequence"):
        return 0
    for ending, labels in _FIXED_LABELS.items():
        if _architecture(config).endswith(ending):
            return labels
    return len(config.get("id2label") or ()) or int(config.get("num_labels") or 2)


def pooling_task(config: Mapping[str, Any]) -> str:
    """What vLLM calls asking a classification head; empty for a model without one.

    Of what is named a reward model vLLM gives the values of all tokens, never of the text alone.
    """
    if not labels_of(config):
        return ""
    return "classify" if _architecture(config).endswith(_WHOLE) else "token_classify"


def head_params(config: Mapping[str, Any], width: int) -> int:
    """Weights of the output layer that multiply an activation for each token.

    Args:
        config: Contents of `config.json`.
        width: Of the model.
    """
    labels = labels_of(config)
    if not labels:
        return int(width * config["vocab_size"])
    # Qwen's reward models put a square layer before the last.
    name = _architecture(config)
    square = name.startswith("Qwen2") and name.endswith("RewardModel")
    return width * width * square + width * labels


def check_head(path: Path, name: str) -> Head:
    """The head of a checkpoint that is to be a reward model.

    Args:
        path: Directory of the checkpoint.
        name: Of the model, for messages.

    Raises:
        ModelNotFound: The weights lack the head, or are cut off.
        Unsupported: The architecture is none that gives values.
        ConfigError: The head in the weights has another size than the configuration says.
    """
    config = json.loads((path / "config.json").read_text())
    head = head_of(config)
    if head is None:
        raise Unsupported(
            f"{name} is a {_architecture(config) or 'model without architecture'}, which gives no"
            " values.",
            hint=f"A reward model's architecture ends in one of {', '.join(_ENDINGS)}.",
        )
    sizes = weight_sizes(path)
    if head != "language" and sizes:
        _check_weights(name, config, sizes)
    return head


def _check_weights(name: str, config: Mapping[str, Any], sizes: Mapping[str, list[int]]) -> None:
    rows = {
        weight: size[0]
        for weight, size in sizes.items()
        if weight.endswith(".weight") and _PARTS & set(weight.split("."))
    }
    if not rows:
        raise ModelNotFound(
            f"The weights of {name} hold no head, and its config.json calls it a"
            f" {_architecture(config)}.",
            hint="Take the checkpoint that was written after the training of the head.",
        )
    last, labels = rows[max(rows)], labels_of(config)
    if last != labels:
        raise ConfigError(
            f"The head of {name} gives {last} value(s), and its config.json says {labels}.",
            hint="Correct num_labels (or id2label) in config.json.",
        )


def _architecture(config: Mapping[str, Any]) -> str:
    return next(iter(config.get("architectures") or ()), "")


def weight_sizes(path: Path) -> dict[str, list[int]]:
    """Sizes of all weights by name; empty for weights that are not in safetensors files."""
    sizes: dict[str, list[int]] = {}
    for file in sorted(path.glob("*.safetensors")):
        with file.open("rb") as data:
            try:
                (length,) = struct.unpack("<Q", data.read(8))
                if length > file.stat().st_size:
                    raise ValueError("the header is longer than the file")
                header = json.loads(data.read(length))
            except (struct.error, ValueError) as error:
                raise ModelNotFound(
                    f"'{file}' is no file of weights.", hint="Copy the checkpoint anew."
                ) from error
        sizes |= {k: v["shape"] for k, v in header.items() if k != "__metadata__"}
    return sizes
