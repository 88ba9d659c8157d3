"""Runs in the environment of llm-compressor, by its path: quantises a checkpoint, or undoes it.

Nothing of this package can be imported here. The job is a JSON file; what is going on is told on an
open file descriptor, one JSON object a line, since the libraries print what they like on the
standard streams. Both are arguments. A job has:

    do         'quantise' or 'dequantise'
    source     folder of the checkpoint
    target     existing folder for the new one
    modifiers  (quantise) names and arguments of llm-compressor's modifiers, in their order
    sequences  (quantise) path of a JSON list of lists of token ids; null for none
    longest    (quantise) tokens of the longest of them
    threads    for PyTorch
    seed       for what the libraries draw
    trust      whether the checkpoint's own code may run
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import llmcompressor
import torch
import tqdm
import transformers
from datasets import Dataset
from llmcompressor import oneshot
from llmcompressor.modifiers.gptq import GPTQModifier
from llmcompressor.modifiers.quantization import QuantizationModifier
from llmcompressor.modifiers.transform.awq import AWQModifier
from llmcompressor.modifiers.transform.smoothquant import SmoothQuantModifier
from llmcompressor.pipelines.cache import IntermediatesCache
from transformers import AutoModelForCausalLM
from transformers.utils.quantization_config import CompressedTensorsConfig

MODIFIERS = {
    each.__name__: each
    for each in (AWQModifier, GPTQModifier, QuantizationModifier, SmoothQuantModifier)
}


def main(path: str, descriptor: int) -> None:
    """Do the job in a file, and tell of it."""
    with open(path) as file:
        job = json.load(file)
    out = os.fdopen(descriptor, "w")

    def tell(message: dict[str, Any]) -> None:
        out.write(json.dumps(message) + "\n")
        out.flush()

    _watch_bars(tell)
    torch.set_num_threads(job["threads"])
    torch.manual_seed(job["seed"])
    if not torch.accelerator.is_available():
        # llm-compressor 0.14 pins memory for the way to a GPU also where there is none, and fails.
        IntermediatesCache.pin_memory = lambda *_, **__: None
    made = {"quantise": quantise, "dequantise": dequantise}[job["do"]](job)
    tell({"made": {**made, "versions": _versions()}})


def quantise(job: dict[str, Any]) -> dict[str, Any]:
    """Quantise a checkpoint."""
    model = _load(job, dtype="auto")
    recipe = [MODIFIERS[each["name"]](**each["arguments"]) for each in job["modifiers"]]
    data = {}
    if job["sequences"] is not None:
        with open(job["sequences"]) as file:
            rows = [{"input_ids": ids} for ids in json.load(file)]
        data = {
            "dataset": Dataset.from_list(rows),
            "num_calibration_samples": len(rows),
            "max_seq_length": job["longest"],
            "shuffle_calibration_samples": False,
        }
    oneshot(model=model, recipe=recipe, **data)
    quantised = [name for name, part in model.named_modules() if _is_quantised(part)]
    if not quantised:
        raise RuntimeError("no layer of this model could be quantised")
    model.save_pretrained(job["target"], save_compressed=True)
    return {"layers": len(quantised)}


def dequantise(job: dict[str, Any]) -> dict[str, Any]:
    """Write the numbers that a quantised checkpoint stands for as an ordinary one."""
    undo = CompressedTensorsConfig(dequantize=True)
    model = _load(job, dtype="auto", quantization_config=undo)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    with torch.device("meta"):
        plain = AutoModelForCausalLM.from_config(model.config).state_dict().keys()
    # Scales and zero points are still beside the weights, and would be saved with them.
    kept = {name: value for name, value in model.state_dict().items() if name in plain}
    model.save_pretrained(job["target"], state_dict=kept)
    return {"tensors": len(kept)}


def _load(job: dict[str, Any], **options: Any) -> Any:
    return AutoModelForCausalLM.from_pretrained(
        job["source"], local_files_only=True, trust_remote_code=job["trust"], **options
    )


def _is_quantised(part: Any) -> bool:
    scheme = getattr(part, "quantization_scheme", None)
    return scheme is not None and scheme.weights is not None


def _versions() -> dict[str, str]:
    parts = (llmcompressor, torch, transformers)
    return {part.__name__: str(part.__version__) for part in parts}


def _watch_bars(tell: Any) -> None:
    """Tell what the bars of progress show, of which every long part of the libraries has one."""

    def display(bar: Any, *_: Any, **__: Any) -> None:
        if bar.total:
            tell({"doing": bar.desc.rstrip(": "), "done": bar.n, "of": bar.total})

    tqdm.tqdm.display = display


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
