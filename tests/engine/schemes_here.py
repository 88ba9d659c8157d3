"""A program: load and decode a small model in every scheme that this machine can run.

One process for all of them, since importing vLLM takes longer than loading the model. Each engine
gets the arguments that `resolve` makes of `scheme=...`. Its last line is JSON: the operators that
the engine has, and for each scheme what came of it.

Arguments: a folder for checkpoints.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.engine.quantised import quantise
from tts.engine import EngineConfig, check, detect, read_shape, resolve, resolve_model
from tts.engine.hardware import has_operator
from tts.engine.schemes import SCHEMES, Scheme, feasible

SOURCE = resolve_model("mini-reasoner")
BITS = {"w8a8_int8": 8, "w4a8_int8": 4}
"""Schemes whose checkpoints can be made here, and the bits of their weights."""
SMALL: dict[str, Any] = {"max_model_len": 128, "max_num_seqs": 4, "kv_cache_gib": 0.05}
PROMPT = [{"role": "user", "content": "12+7*3-5="}]


def main(folder: Path) -> None:
    """Run them all; float32 first, whose answer the others read."""
    found: dict[str, Any] = {}
    text: list[int] = []
    for scheme in feasible(detect(), has_operator):
        model = checkpoint(scheme, folder)
        if model is not None:
            found[scheme.name] = outcome = run(scheme, model, text)
            text = text or outcome["wrote"]
    names = {name for row in SCHEMES.values() for name in row.needs.operators}
    operators = sorted(filter(has_operator, names))
    print(json.dumps({"operators": operators, "runs": found}))


def checkpoint(scheme: Scheme, folder: Path) -> Path | None:
    """A model to load in the scheme; None if none can be made here."""
    if scheme.plain or scheme.online:
        return SOURCE
    bits = BITS.get(scheme.name)
    return quantise(SOURCE, folder / scheme.name, bits) if bits else None


def run(scheme: Scheme, model: Path, text: list[int]) -> dict[str, Any]:
    """Load it, write an answer, and read another one.

    Returns:
        What it wrote, the log-probabilities of what it read, the bytes of its parameters by data
        type, and the GiB of weights that were foreseen.
    """
    config = EngineConfig(model=str(model), scheme=scheme.name, **SMALL)
    hardware, shape = detect(), read_shape(model)
    resolved = resolve(config, hardware, model, shape)
    check(config, resolved, hardware, shape, others=())
    os.environ.update({k: v for k, v in resolved.environment.items() if v is not None})
    return decode(resolved.arguments, text) | {"foreseen": resolved.footprint.weights}


def decode(arguments: Mapping[str, Any], text: list[int]) -> dict[str, Any]:
    """What vLLM does with these arguments, in this process."""
    from vllm import LLM, SamplingParams
    from vllm.distributed import cleanup_dist_env_and_memory

    llm = LLM(**arguments)
    asked = llm.get_tokenizer().apply_chat_template(PROMPT, add_generation_prompt=True)
    prompt = list(asked["input_ids"])
    greedy = SamplingParams(max_tokens=24, temperature=0.0)
    (answer,) = llm.generate([{"prompt_token_ids": prompt}], greedy, use_tqdm=False)
    wrote = list(answer.outputs[0].token_ids)
    ids = [*prompt, *(text or wrote)]
    reading = SamplingParams(max_tokens=1, prompt_logprobs=0)
    (read,) = llm.generate([{"prompt_token_ids": ids}], reading, use_tqdm=False)
    likely = [each[i].logprob for i, each in zip(ids, read.prompt_logprobs, strict=True) if each]
    sizes = llm.apply_model(parameter_bytes)[0]
    del llm
    cleanup_dist_env_and_memory()
    return {"wrote": wrote, "read": likely[len(prompt) - 1 :], "sizes": sizes}


def parameter_bytes(model: Any) -> dict[str, int]:
    """Bytes of a module's parameters by data type."""
    sizes: dict[str, int] = {}
    for each in model.parameters():
        name = str(each.dtype).removeprefix("torch.")
        sizes[name] = sizes.get(name, 0) + each.numel() * each.element_size()
    return sizes


if __name__ == "__main__":
    main(Path(sys.argv[1]))
