"""Timed runs of the engine: answers that start together, all of one length."""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tts.advice.workload import Workload
from tts.engine import Engine, Hardware, read_config, read_shape, resolve
from tts.engine.shape import Shape

Report = Callable[[str], None]

_LLAMA: Mapping[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "dtype": "float32",
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "max_position_embeddings": 1024,
    "tie_word_embeddings": False,
    "bos_token_id": 0,
    "eos_token_id": 1,
}
_ROOM = 8  # tokens of a sequence beside prompt and answer
_WARM = 8  # tokens of an answer that is not timed


@contextmanager
def random_model(sizes: Mapping[str, Any]) -> Iterator[Path]:
    """A directory with the configuration of a Llama, whose weights the engine is to make up.

    Args:
        sizes: Of `config.json`: `hidden_size`, `intermediate_size`, `num_hidden_layers`,
            `num_attention_heads`, `num_key_value_heads`, `head_dim`, `vocab_size`; and what else it
            is to say, such as a `quantization_config`.
    """
    with tempfile.TemporaryDirectory(prefix="tts-model-") as folder:
        path = Path(folder)
        (path / "config.json").write_text(json.dumps({**_LLAMA, **sizes}))
        yield path


def engine_of(
    path: Path, hardware: Hardware, most: Workload, settings: Mapping[str, Any], report: Report
) -> Engine:
    """An engine for timed runs, not started.

    Args:
        path: Of the checkpoint, or of a `random_model`.
        hardware: This machine.
        most: The largest workload that it will be asked for.
        settings: Of the engine, beside those that make room for the workload.
        report: Told how the start goes.
    """
    shape = read_shape(path)
    length = int(most.length) + _ROOM
    extra: dict[str, Any] = {"skip_tokenizer_init": True}
    if not shape.weight_bytes:
        extra["load_format"] = "dummy"
    given = {
        "max_model_len": length,
        "max_num_seqs": int(most.concurrency),
        **settings,
        "extra": {**extra, **settings.get("extra", {})},
    }
    config = read_config(given).model_copy(update={"model": path.name})
    return Engine(resolve(config, hardware, path, shape), report)


async def warm(engine: Engine, shape: Shape, most: Workload) -> None:
    """Let an engine do what it does once only: the first steps of each kind are slow.

    Args:
        engine: Started.
        shape: Of its model.
        most: The largest workload that it will be asked for.
    """
    for concurrency in (1, most.concurrency):
        some = Workload(int(concurrency), most.prompt_tokens, _WARM)
        await timed(engine, shape, some, seed=0)


async def timed(engine: Engine, shape: Shape, workload: Workload, seed: int) -> float:
    """Seconds from the first request to the last token.

    Prompts are random and share nothing; answers go on to their length whatever they say.

    Args:
        engine: Started.
        shape: Of its model.
        workload: Answers at once, and their lengths; its `samples` and `shared_tokens` do not
            count.
        seed: Of the prompts and of the draws.
    """
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    rng = random.Random(seed)
    count = int(workload.concurrency)
    tokens = range(min(4, shape.vocabulary - 1), shape.vocabulary)
    prompts = [rng.choices(tokens, k=int(workload.prompt_tokens)) for _ in range(count)]
    params = [
        SamplingParams(
            max_tokens=int(workload.completion_tokens),
            ignore_eos=True,
            seed=rng.getrandbits(31),
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        for _ in prompts
    ]
    start = time.perf_counter()
    flights = [engine.decode(*each) for each in zip(prompts, params, strict=True)]
    await asyncio.gather(*(flight.ended() for flight in flights))
    return time.perf_counter() - start


async def interleaved(
    engine: Engine, shape: Shape, loads: Sequence[Workload], repeats: int
) -> list[list[float]]:
    """Several workloads in turn, so that what else the machine does hits all of them.

    Args:
        engine: Started, and warm.
        shape: Of its model.
        loads: As of `timed`.
        repeats: Rounds.

    Returns:
        The seconds of each workload, by round.
    """
    found: list[list[float]] = [[] for _ in loads]
    for number in range(repeats):
        for load, times in zip(loads, found, strict=True):
            times.append(await timed(engine, shape, load, seed=1 + number))
    return found
