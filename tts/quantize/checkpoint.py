"""A checkpoint to be quantised: what its files say, and what of them is carried over.

Reads headers of the weight files, never the weights.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from tts.engine.shape import read_shape, weight_files
from tts.errors import ModelNotFound, Unsupported

_NO_LAYER = ("embed", "lm_head", "norm", "wte", "wpe")
_MADE_ANEW = {"config.json", "README.md", "card.json", "quantised.json", "recipe.yaml"}
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".h5", ".msgpack", ".onnx")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A full checkpoint.

    Attributes:
        path: Its folder.
        widths: Input widths of its layers, ascending, each once.
        bytes: Of its weight files.
    """

    path: Path
    widths: tuple[int, ...]
    bytes: int


def read_checkpoint(path: Path) -> Checkpoint:
    """Look at a checkpoint.

    Args:
        path: Its folder.

    Raises:
        ModelNotFound: It holds no weights in safetensors.
        Unsupported: It is quantised already, or no language model.
    """
    shape = read_shape(path)
    if shape.quantization:
        how = shape.quantization.get("quant_method", "some scheme")
        raise Unsupported(
            f"{path.name} is quantised already ({how}).", hint="Quantise the full model."
        )
    if shape.head != "language":
        raise Unsupported(
            f"{path.name} writes no text; only language models are quantised.",
            hint="Name a model that decodes.",
        )
    files = [file for file in weight_files(path) if file.suffix == ".safetensors"]
    if not files:
        raise ModelNotFound(
            f"'{path}' holds no weights in safetensors.",
            hint="Load the model with transformers and save it again: save_pretrained.",
        )
    widths = sorted({width for file in files for width in _widths(file)})
    if not widths:
        raise Unsupported(f"'{path}' has no layers that could be quantised.")
    return Checkpoint(path, tuple(widths), shape.weight_bytes)


def _widths(file: Path) -> set[int]:
    """Input widths of the matrices in a file that multiply activations."""
    from safetensors import safe_open

    with safe_open(file, framework="numpy") as tensors:
        shapes = {name: tensors.get_slice(name).get_shape() for name in tensors.keys()}
    return {
        int(shape[-1])
        for name, shape in shapes.items()
        if len(shape) == 2 and not any(part in name for part in _NO_LAYER)
    }


def carry_over(source: Path, target: Path) -> None:
    """Copy what belongs to a checkpoint beside its weights: tokenizer, template, generation.

    Args:
        source: The full checkpoint.
        target: Folder of the quantised one.
    """
    for file in sorted(source.iterdir()):
        weights = file.name.endswith((*_WEIGHTS, ".index.json"))
        if file.is_file() and not weights and file.name not in _MADE_ANEW:
            shutil.copyfile(file, target / file.name)
