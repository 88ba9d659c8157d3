"""Quantised checkpoints for tests, rounded to nearest, in the format of compressed-tensors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

GROUP = 32
"""Weights that share a scale where there are groups."""


def rounded(weights: torch.Tensor, bits: int, group: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Integers and scales.

    Args:
        weights: Outputs by inputs.
        bits: Of an integer.
        group: Neighbouring inputs that share a scale; divides their number.

    Returns:
        Integers of the weights' shape, and scales: outputs by groups.
    """
    most = 2 ** (bits - 1) - 1
    parts = weights.float().unflatten(1, (-1, group))
    scales = parts.abs().amax(2, keepdim=True) / most
    return (parts / scales).round().flatten(1).to(torch.int8), scales.squeeze(2)


def quantise(source: Path, path: Path, bits: int) -> Path:
    """A copy of a Llama with integer weights, and activations of 8 bits.

    Args:
        source: The checkpoint in floats.
        path: Where the copy goes.
        bits: Of a weight: 8, with a scale for each output, or 4, with one for each group.
    """
    shutil.copytree(source, path)
    weights = load_file(path / "model.safetensors")
    for name, each in list(weights.items()):
        if each.ndim == 2 and "embed" not in name and "lm_head" not in name:
            group = GROUP if bits == 4 else each.shape[1]
            weights[name], scales = rounded(each, bits, group)
            weights[name.removesuffix("weight") + "weight_scale"] = scales
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((path / "config.json").read_text())
    config["quantization_config"] = settings(bits)
    (path / "config.json").write_text(json.dumps(config))
    return path


def settings(bits: int) -> dict[str, Any]:
    """What such a checkpoint says of itself."""
    grouped = {"strategy": "group", "group_size": GROUP} if bits == 4 else {"strategy": "channel"}
    integers = {"type": "int", "symmetric": True}
    group = {
        "targets": ["Linear"],
        "weights": {**integers, **grouped, "num_bits": bits, "dynamic": False},
        "input_activations": {**integers, "num_bits": 8, "strategy": "token", "dynamic": True},
    }
    return {
        "quant_method": "compressed-tensors",
        "format": "int-quantized",
        "quantization_status": "compressed",
        "ignore": ["lm_head"],
        "config_groups": {"group_0": group},
    }
