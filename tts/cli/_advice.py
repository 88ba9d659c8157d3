"""From the words of `tts advise` to a case, and from the case to advice."""

from __future__ import annotations

import asyncio
import difflib
import math
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tts.advice.accuracy import PUBLISHED, Recovery
from tts.advice.advisor import Advice, Case, advise
from tts.advice.calibration import calibrate
from tts.advice.cards import accuracy_measured, read_cards
from tts.advice.machines import TYPICAL, known
from tts.advice.plans import Choice, choice
from tts.advice.workload import Workload
from tts.cli.arguments import Arguments
from tts.cli.jobs import Job, compose_jobs
from tts.engine import EngineConfig, Hardware, Progress, detect, read_config, read_shape
from tts.engine.hardware import has_operator
from tts.engine.models import resolve_model
from tts.engine.schemes import CACHE_FORMATS, CacheFormat, scheme_of
from tts.engine.shape import Shape, sized
from tts.errors import ConfigError

if TYPE_CHECKING:
    from tts.backends.vllm import VLLMBackend

_BUNDLED = "tts.backends.vllm.VLLMBackend"
_REHEARSED = f"{__name__}.unstarted"
_ROOMY_GIB = 1e6  # what fits is said scheme by scheme, and not by the check of one
_BLOCK, _GPU_BLOCK = 32, 16  # tokens in a block, unless it is said
_SEQUENCES = 128  # answers at once, unless it is said; on a processor more are slower again
_UNASKED = ("auto", "fp8")  # formats of the cache that are considered unasked


@dataclass(frozen=True)
class Found:
    """What came of it, and from what.

    Attributes:
        title: Model, machine and workload.
        case: What was asked.
        choice: What there was to choose from.
        advice: What came of it.
        notes: What it rests on, in sentences.
        all_rows: Whether schemes are to be shown of whose accuracy nothing is known.
    """

    title: str
    case: Case
    choice: Choice
    advice: Advice
    notes: tuple[str, ...]
    all_rows: bool

    @property
    def settings(self) -> dict[str, str]:
        """What is recommended, as fields of `tts run`; empty if nothing is."""
        chosen = self.advice.chosen
        if chosen is None:
            return {}
        found = chosen.plan.settings
        if math.isinf(self.case.sequences) and chosen.found.in_flight > _SEQUENCES:
            found["model.engine.max_num_seqs"] = f"{math.ceil(chosen.found.in_flight)}"
        return found


def work_out(command: Arguments, loads: Sequence[str], options: Namespace) -> Found:
    """Look at the model, the machine and the workload, and advise.

    Args:
        command: The words of `tts run`.
        loads: Fields of the workload, as `workload.field=value`.
        options: Of the command line.

    Raises:
        ConfigError: Something cannot be used; nothing was measured.
        BackendError: The measurement of this machine failed.
    """
    given = _fields(loads)
    job = _job(command)
    name = str(job.config["model"]["name"])
    config = read_config(job.config["model"]["engine"]).model_copy(update={"model": name})
    path = resolve_model(name, Progress())
    shape = _shape(path, name)
    devices = config.tensor_parallel_size
    elsewhere = known(options.machine, devices) if options.machine else None
    hardware = elsewhere.hardware if elsewhere else _here(devices)
    chosen = _choice(config, shape, hardware, options.cache, elsewhere is not None)
    cards = _cards(path, options.cards, config.model)
    notes: list[str] = []
    if _rehearses(command):
        workload, notes = _rehearsed(job, options)
        workload = replace(workload, **given)
    else:
        workload = Workload(**given)
    _check_length(workload, config, shape, name)
    if elsewhere is not None:
        machine, efficiency = elsewhere, TYPICAL
        notes.append(
            f"{machine.name}: peaks by its data sheet, of which {TYPICAL.compute:.0%} are taken to"
            " be reached; the engine's own time is not known there, and is left out."
        )
    else:
        kinds = {plan.loaded(shape, hardware).numerics for plan in chosen.plans}
        types = sorted({kind for each in kinds for kind in (each.arithmetic, each.plain)})
        found = asyncio.run(calibrate(shape, types, hardware, Progress(), anew=options.calibrate))
        machine, efficiency = found.machine, found.efficiency
        notes.append(str(found))
    case = Case(
        shape,
        machine,
        efficiency,
        workload,
        options.keep,
        options.usd_per_hour,
        config.block_size or (_GPU_BLOCK if hardware.is_cuda else _BLOCK),
        config.max_num_seqs or (math.inf if hardware.is_cuda else _SEQUENCES),
    )
    plans = [plan for plan in chosen.plans if plan.speed_known(shape, machine)]
    advice = advise(case, plans, {**PUBLISHED, **cards})
    title = f"{Path(name).name} on {machine.name}: {workload}"
    return Found(title, case, chosen, advice, tuple(notes), options.all)


def unstarted(
    model: str,
    engine: Mapping[str, Any],
    prices: Mapping[str, Any] | None = None,
    machine: str | None = None,
) -> VLLMBackend:
    """The bundled backend, for a rehearsal: on a machine of this kind, but with room for all.

    Args:
        model: Its name.
        engine: Settings of the engine.
        prices: What the model costs.
        machine: Another machine of the table; None for this one.
    """
    from tts.backends.vllm import VLLMBackend

    config = read_config(engine)
    devices = config.tensor_parallel_size
    here = known(machine, devices).hardware if machine else detect()
    roomy = replace(here, memory_gib=_ROOMY_GIB, cuda_memory_gib=_ROOMY_GIB)
    return VLLMBackend(model, config, prices=prices, hardware=roomy)


def _fields(loads: Sequence[str]) -> dict[str, float]:
    """Fields of the workload out of words."""
    names = [each.name for each in fields(Workload)]
    found = {}
    for word in loads:
        name, _, value = word.removeprefix("workload.").partition("=")
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            raise ConfigError(
                f"There is no field workload.{name}.",
                hint=f"Did you mean workload.{close[0]}?" if close else f"See {', '.join(names)}.",
            )
        try:
            found[name] = float(value)
        except ValueError:
            raise ConfigError(
                f"workload.{name} is {value!r}; it must be a number.",
                hint=f"Write workload.{name}=16.",
            ) from None
    return found


def _job(command: Arguments) -> Job:
    """The one configuration that is asked about."""
    jobs = compose_jobs(command)
    if len(jobs) > 1 or len(jobs[0].arms) > 1:
        raise ConfigError(
            "tts advise looks at one configuration, and there are several.",
            hint="Leave out -m, and name a strategy instead of an experiment with arms.",
        )
    if jobs[0].config["backend"]["_target_"] != _BUNDLED:
        raise ConfigError(
            "tts advise is about the bundled engine, and backend is another.",
            hint="Leave backend out.",
        )
    return jobs[0]


def _shape(path: Path, name: str) -> Shape:
    """The sizes of a model that writes; its weights need not be here."""
    shape = read_shape(path)
    if shape.labels or shape.head != "language":
        raise ConfigError(
            f"{name} is no language model: it writes nothing.", hint="Name one that does."
        )
    return sized(shape)


def _here(devices: int) -> Hardware:
    """This machine, as far as one engine may use it."""
    hardware = detect()
    if not hardware.is_cuda:
        return hardware
    if devices > hardware.cuda_devices:
        raise ConfigError(
            f"tensor_parallel_size is {devices}, and this machine has {hardware.cuda_devices}"
            " CUDA device(s).",
            hint="Lower model.engine.tensor_parallel_size, or name another --machine.",
        )
    return replace(hardware, cuda_devices=devices)


def _choice(
    config: EngineConfig, shape: Shape, hardware: Hardware, asked: Sequence[str], elsewhere: bool
) -> Choice:
    names = dict.fromkeys([*_UNASKED, *asked])
    for name in asked:
        if name not in CACHE_FORMATS:
            close = difflib.get_close_matches(name, CACHE_FORMATS, n=1)
            raise ConfigError(
                f"--cache: there is no format {name!r}.",
                hint=f"Did you mean {close[0]}?"
                if close
                else f"There are: {', '.join(CACHE_FORMATS)}.",
            )
    caches: list[CacheFormat] = [CACHE_FORMATS[name] for name in names]
    own = scheme_of(config, shape) if shape.quantization else None
    # What another machine's build of the engine holds nobody can ask; GPUs need no such operators.
    found = choice(shape, hardware, (lambda _: True) if elsewhere else has_operator, caches, own)
    if not found.plans:
        why = "; ".join(f"{name} needs {what}" for name, what in found.refused.items())
        raise ConfigError(f"There is no scheme in which {config.model} could run: {why}.")
    return found


def _cards(path: Path, folders: Sequence[Path], model: str) -> dict[str, Recovery]:
    """Measured accuracies: of the model itself, if it is quantised, and of those that are named."""
    own = [path] if accuracy_measured(path) else []
    return read_cards([*own, *folders], model)


def _rehearses(command: Arguments) -> bool:
    """Whether the words name more than a model: a strategy, a task."""
    keys = (word.partition("=")[0].lstrip("+~") for word in command.overrides)
    return any(key.split(".")[0] != "model" for key in keys)


def _rehearsed(job: Job, options: Namespace) -> tuple[Workload, list[str]]:
    """The workload of a strategy on a task, and what it rests on."""
    from tts.cli._costs import work_out as rehearse

    (arm,) = job.arms
    node = {"_target_": _REHEARSED, "machine": options.machine}
    kept = {name: arm.config["backend"][name] for name in ("model", "engine", "prices")}
    staged = replace(arm, config={**arm.config, "backend": {**node, **kept}})
    asked = Namespace(agreement=options.agreement, earlier=options.earlier, tokens_per_second=None)
    costs = rehearse([replace(job, arms=(staged,))], asked)
    (one,) = costs.arms
    likely, problems = one.expected, one.n_problems
    chain = likely.sequential_tokens / problems
    written = likely.completion_tokens / problems
    width = max(1.0, written / chain)
    side_by_side = min(int(job.config["concurrency"]), problems)
    workload = Workload(
        concurrency=round(side_by_side * width),
        prompt_tokens=likely.prompt_tokens / likely.calls,
        completion_tokens=likely.completion_tokens / likely.calls,
        samples=likely.calls / problems,
        sequential_tokens=chain,
    )
    return workload, list(_said(costs.notes(), likely.verifier_tokens > 0))


def _said(notes: Sequence[str], judged: bool) -> Iterator[str]:
    yield from (note for note in notes if not note.startswith("Speed:"))
    if judged:
        yield "What a verifier reads is not counted here: it has an engine of its own."


def _check_length(workload: Workload, config: EngineConfig, shape: Shape, name: str) -> None:
    most = config.max_model_len or shape.context
    if workload.length > most:
        raise ConfigError(
            f"A prompt and its answer take {workload.length:,.0f} tokens, and {name} has a context"
            f" of {most:,}.",
            hint="Lower workload.prompt_tokens or workload.completion_tokens, or raise"
            " model.engine.max_model_len.",
        )
