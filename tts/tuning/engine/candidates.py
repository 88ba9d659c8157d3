"""What is measured: settings with a name, and the two that all others are compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tts.engine import check, read_config, resolve
from tts.errors import ConfigError
from tts.tuning.engine.knobs import SPECULATIVE, Facts, Point, set_by_user, settings

VLLM, OURS = "vLLM's defaults", "the defaults"
"""Names of the two references: what vLLM would choose, and what this package chooses."""

_NOTHING: Mapping[str, str] = MappingProxyType({})
_BLOCK, _SEQUENCES, _BATCH = 128, 128, 2048  # of vLLM on a processor


@dataclass(frozen=True, slots=True)
class Candidate:
    """Settings that are measured.

    Attributes:
        name: For people; unique in a study.
        point: Values of knobs.
        environment: Variables that the engine is started under beside its own.
    """

    name: str
    point: Point
    environment: Mapping[str, str] = field(default_factory=lambda: _NOTHING)


def references(facts: Facts) -> tuple[Candidate, ...]:
    """What all is compared with: the package's defaults last.

    On a GPU the package leaves vLLM's defaults as they are, so there is one. On a processor vLLM
    takes blocks of 128 tokens, compiles the model, puts it into a worker process of its own under
    GNU's OpenMP, binds threads to cores and keeps one core back. Three things of it are left out:
    its KV cache (nine tenths of the memory, whoever uses it), its chunked prefill where seeds would
    crash it, and compilation without a compiler. What the user has set holds here too.

    Args:
        facts: Model, machine and workload.
    """
    ours = Candidate(OURS, {})
    if facts.hardware.is_cuda:
        return (ours,)
    point: Point = {
        "block_size": _BLOCK,
        "max_num_seqs": _SEQUENCES,
        "max_num_batched_tokens": max(_BATCH, facts.length) if facts.drawn else _BATCH,
        "enforce_eager": not facts.compiler,
        "enable_chunked_prefill": not facts.drawn,
    }
    fixed = set_by_user(facts.config)
    point = {name: value for name, value in point.items() if name not in fixed}
    variables = {"VLLM_CPU_OMP_THREADS_BIND": "auto", "VLLM_ENABLE_V1_MULTIPROCESSING": "1"}
    if openmp := _gnu_openmp():
        variables["LD_PRELOAD"] = openmp
    return (Candidate(VLLM, point, MappingProxyType(variables)), ours)


def why_not(point: Point, base: Mapping[str, Any], facts: Facts, path: Path) -> str:
    """Why a point cannot be measured, in a sentence; empty if nothing speaks against it.

    Runs the checks that every engine goes through before its start, and those of the workload.

    Args:
        point: Values of knobs.
        base: What the user has set, as fields of `EngineConfig`.
        facts: Model, machine and workload.
        path: Directory of the checkpoint.
    """
    if not facts.hardware.is_cuda and facts.drawn and point.get("enable_chunked_prefill"):
        return "On a processor a seeded prompt that is prefilled in parts kills the engine."
    if facts.steered and point.get(SPECULATIVE):
        return "Requests of this workload are steered, which vLLM cannot beside drafts."
    try:
        given = {**settings(base, point), "model": facts.config.model}
        config = read_config(given)
        resolved = resolve(config, facts.hardware, path, facts.shape)
        check(config, resolved, facts.hardware, facts.shape, others=())
    except ConfigError as error:
        return error.message
    return ""


def need_gib(point: Point, base: Mapping[str, Any], facts: Facts, path: Path) -> float:
    """Main memory that a trial takes, in GiB: the engine's, and that of the process around it.

    Args:
        point: Values of knobs that have been checked.
        base: What the user has set, as fields of `EngineConfig`.
        facts: Model, machine and workload.
        path: Directory of the checkpoint.
    """
    config = read_config({**settings(base, point), "model": facts.config.model})
    return resolve(config, facts.hardware, path, facts.shape).footprint.need + 1.0


def _gnu_openmp() -> str:
    """PyTorch's copy of GNU's OpenMP, which vLLM loads before all else unless it is told another.

    Looked for without importing PyTorch.
    """
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return ""
    package = Path(spec.origin).parent
    places = (package.parent / "torch.libs", package / "lib")
    found = sorted(file for place in places for file in place.glob("libgomp*.so*"))
    return str(found[0]) if found else ""
