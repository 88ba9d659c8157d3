"""Checkpoints whose weights have fewer bits, made of the bundled model's."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from tts.engine.models import BUNDLED

_WEIGHTS = "model.safetensors"


def checkpoint_with(
    path: Path, change: Callable[[str, torch.Tensor], torch.Tensor], dtype: str = "float32"
) -> Path:
    """The bundled `mini-reasoner` with its weights changed.

    Args:
        path: Where it goes.
        change: Told a weight's name and values; gives the new ones.
        dtype: What the configuration says of them.
    """
    source = BUNDLED / "mini-reasoner"
    shutil.copytree(source, path)
    weights = load_file(source / _WEIGHTS)
    save_file({n: change(n, w).contiguous() for n, w in weights.items()}, path / _WEIGHTS)
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**config, "dtype": dtype}))
    return path


def in_bfloat16(_: str, weight: torch.Tensor) -> torch.Tensor:
    """A weight in 16 bits."""
    return weight.to(torch.bfloat16)


def in_four_bits(name: str, weight: torch.Tensor, group: int = 32) -> torch.Tensor:
    """A matrix rounded to the nearest of 16 values, symmetric, in groups along its inputs.

    The values are those that 4-bit weights would have, in float32: only their loss is there, not
    their size nor their kernels, which processors without AVX-512 lack. Norms, and the embedding,
    which is the output layer as well, stay as they are.
    """
    if weight.ndim < 2 or "embed" in name or weight.shape[1] % group:
        return weight
    parts = weight.view(len(weight), -1, group)
    scale = parts.abs().amax(dim=-1, keepdim=True) / 7.5
    levels = torch.clamp(torch.floor(parts / scale), -8, 7) + 0.5
    return (levels * scale).view_as(weight)
