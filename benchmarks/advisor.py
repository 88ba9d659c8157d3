"""What the advisor predicts for this machine, against what the engine does.

Run: `python -m benchmarks.advisor [--json FILE]`, some eight minutes on two cores with nothing
beside it. Targets: tokens a second within 25%, and the schemes of each case in the right order. Two
models (mini-reasoner, and a Llama of 32 million random weights, where arithmetic matters) in every
scheme that runs here, with 1, 16 and 64 answers at once.

The engine is calibrated beside it, by the runs that `tts advise` makes: on mini-reasoner and on
another random model, in the plain type alone, with 2, 8 and 48 answers at once. So no point that is
predicted is among those that are fitted, and of the other schemes and the larger model the
calibration sees nothing but the speed of their matrix products. Weights in 8 bits are made up: how
fast they are does not depend on what they say.

All engines are up together, and take turns: those that are calibrated on and those that are
measured. A machine that becomes faster or slower with its neighbours does so for both; what is
judged is the model of costs, and not the weather. Reported are medians of the rounds, with their
ranges. Two schemes are put in an order where one of them was faster in every round.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, fields
from itertools import combinations
from pathlib import Path
from typing import Any

from tts.advice.calibration import BATCHES, DEEP, fitted, loads_of_runs
from tts.advice.calibration import machines as machines_of
from tts.advice.fitting import Point as Run
from tts.advice.plans import Loaded, Plan, choice, plain_plan
from tts.advice.prediction import predict
from tts.advice.runs import engine_of, random_model, timed, warm
from tts.advice.workload import Workload
from tts.engine import Engine, Hardware, Progress, Shape, detect, read_shape, resolve_model
from tts.engine.hardware import has_operator
from tts.engine.kernels import BYTES, layers
from tts.engine.machine import Efficiency, Machine
from tts.engine.schemes import CACHE_FORMATS
from tts.engine.shape import sized

TARGET = 0.25
"""Most relative error of tokens a second."""

AT_ONCE = (1, 16, 64)
_PROMPT, _ANSWER = 32, 32
_ALONE = 5  # runs of an answer by itself that make one measurement
_CACHE_GIB = 0.25  # of each engine: more than the largest workload needs
_LARGE: Mapping[str, int] = {
    "hidden_size": 512,
    "intermediate_size": 1408,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 64,
    "vocab_size": 8192,
}
_INT8: Mapping[str, Any] = {
    "quant_method": "compressed-tensors",
    "format": "int-quantized",
    "quantization_status": "compressed",
    "ignore": ["lm_head"],
    "config_groups": {
        "group_0": {
            "targets": ["Linear"],
            "weights": {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel"},
            "input_activations": {
                "num_bits": 8,
                "type": "int",
                "symmetric": True,
                "strategy": "token",
                "dynamic": True,
            },
        }
    },
}
_WRITTEN: Mapping[str, Mapping[str, Any]] = {"w8a8_int8": _INT8}
"""How a checkpoint says that it is written in a scheme."""


@dataclass(frozen=True)
class Point:
    """One case.

    Attributes:
        model: Its name.
        scheme: Its scheme.
        at_once: Answers side by side.
        predicted: Tokens a second.
        rates: The same as measured, by round.
    """

    model: str
    scheme: str
    at_once: int
    predicted: float
    rates: tuple[float, ...]

    @property
    def measured(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.rates)

    @property
    def error(self) -> float:
        """Of the prediction, relative to the measurement."""
        return self.predicted / self.measured - 1


@dataclass(frozen=True)
class Model:
    """A model that is looked at.

    Attributes:
        name: What it is called here.
        path: Of its checkpoint or configuration.
        shape: Its sizes.
        config: Of `config.json`.
    """

    name: str
    path: Path
    shape: Shape
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """A model in a scheme, and the engine that runs it.

    Attributes:
        name: Of the model.
        scheme: Its scheme.
        loaded: The model as it is in memory.
        machine: With the speeds of its matrices.
        loads: What the engine is asked for.
        engine: Warm.
        times: Seconds of each load, by round.
    """

    name: str
    scheme: str
    loaded: Loaded
    machine: Machine
    loads: Sequence[Workload]
    engine: Engine
    times: list[list[float]]

    async def round(self, number: int) -> None:
        """Time every load once."""
        for load, times in zip(self.loads, self.times, strict=True):
            times.append(await _seconds(self.engine, self.loaded.shape, load, seed=1 + number))


async def measure(rounds: int) -> dict[str, Any]:
    """Time all engines in turn, fit to some of them, and predict the others."""
    hardware = detect()
    plain = plain_plan(hardware)
    loads = [Workload(count, _PROMPT, _ANSWER) for count in AT_ONCE]
    async with AsyncExitStack() as stack:
        small, large, deep = _models(stack)
        plans = {model.name: _plans(model.shape, hardware) for model in (small, large)}
        order = [small, large, small, deep]
        own = [
            layers(model.shape, _types(model, plans[model.name], hardware)) for model in order[:2]
        ]
        own += [layers(model.shape, _types(model, [plain], hardware)) for model in order[2:]]
        machines = machines_of(own, hardware, Progress(), anew=True)
        fitted_on = [
            await _case(stack, model, plain, machine, loads_of_runs())
            for model, machine in zip(order[2:], machines[2:], strict=True)
        ]
        predicted = [
            await _case(stack, model, plan, machine, loads)
            for model, machine in zip(order[:2], machines[:2], strict=True)
            for plan in plans[model.name]
            if plan.speed_known(model.shape, machine)
        ]
        for number in range(rounds):
            for case in (*fitted_on, *predicted):
                await case.round(number)
    known = fitted([run for case in fitted_on for run in _runs(case)])
    efficiency = Efficiency(**known["efficiency"])
    points = [point for case in predicted for point in _points(case, efficiency)]
    return {
        "points": [
            {**asdict(each), "measured": each.measured, "error": each.error} for each in points
        ],
        "fitted": {**known, "at_once": BATCHES},
        "rounds": rounds,
        **summary(points),
    }


def _models(stack: AsyncExitStack) -> Iterator[Model]:
    """Those that are measured, and the second one that is calibrated on."""
    for name, path in (
        ("mini-reasoner", resolve_model("mini-reasoner")),
        ("random Llama", stack.enter_context(random_model(_LARGE))),
        ("deep Llama", stack.enter_context(random_model(DEEP))),
    ):
        config = json.loads((path / "config.json").read_text())
        yield Model(name, path, sized(read_shape(path)), config)


def _plans(shape: Shape, hardware: Hardware) -> list[Plan]:
    """Those that can be made on the spot: plain types, and formats that can be written here."""
    found = choice(shape, hardware, has_operator, [CACHE_FORMATS["auto"]]).plans
    # The two types of 16 bits are alike; one of them will do.
    wanted = {"fp32", "bf16", *_WRITTEN}
    return [plan for plan in found if plan.scheme.name in wanted]


def _types(model: Model, plans: Sequence[Plan], hardware: Hardware) -> list[str]:
    """Types of arithmetic that matter to some plans, and can be measured."""
    kinds = [plan.loaded(model.shape, hardware).numerics for plan in plans]
    return sorted({name for each in kinds for name in (each.arithmetic, each.plain)} & set(BYTES))


async def _case(
    stack: AsyncExitStack, model: Model, plan: Plan, machine: Machine, loads: Sequence[Workload]
) -> Case:
    """An engine that runs a model in one scheme."""
    hardware, most = machine.hardware, loads[-1]
    path, settings = model.path, {"dtype": plan.scheme.dtype or "auto", "kv_cache_gib": _CACHE_GIB}
    if plan.scheme.name in _WRITTEN:
        written = {**model.config, "quantization_config": _WRITTEN[plan.scheme.name]}
        path = stack.enter_context(random_model(written))
    engine = engine_of(path, hardware, most, settings, _silent)
    await stack.enter_async_context(engine)
    await warm(engine, model.shape, most)
    loaded = plan.loaded(model.shape, hardware)
    return Case(model.name, plan.scheme.name, loaded, machine, loads, engine, [[] for _ in loads])


def _runs(case: Case) -> Iterator[Run]:
    """What is fitted to."""
    for load, times in zip(case.loads, case.times, strict=True):
        yield Run(case.loaded, case.machine, load, statistics.median(times))


def _points(case: Case, efficiency: Efficiency) -> Iterator[Point]:
    """Predictions beside measurements."""
    for load, times in zip(case.loads, case.times, strict=True):
        said = predict(case.loaded, case.machine, load, efficiency).tokens_per_second
        rates = tuple(load.concurrency * load.completion_tokens / each for each in times)
        yield Point(case.name, case.scheme, int(load.concurrency), said, rates)


async def _seconds(engine: Engine, shape: Shape, load: Workload, seed: int) -> float:
    """Of one run; of the mean of several where a single one is over in a moment."""
    times = range(_ALONE if load.concurrency == 1 else 1)
    return statistics.mean([await timed(engine, shape, load, seed) for _ in times])


def summary(points: Sequence[Point]) -> dict[str, Any]:
    """How good the predictions are.

    Args:
        points: At least two cases.
    """
    from scipy.stats import spearmanr

    errors = [abs(point.error) for point in points]
    pairs = [
        pair
        for pair in combinations(points, 2)
        if (pair[0].model, pair[0].at_once) == (pair[1].model, pair[1].at_once)
    ]
    apart = [pair for pair in pairs if _ahead(*pair) or _ahead(*reversed(pair))]
    right = sum(_ahead(*sorted(pair, key=lambda p: -p.predicted)) for pair in apart)
    rank = spearmanr([p.predicted for p in points], [p.measured for p in points]).statistic
    return {
        "within_target": sum(error <= TARGET for error in errors),
        "of": len(errors),
        "median_error": statistics.median(errors),
        "largest_error": max(errors),
        "rank_correlation": float(rank),
        "pairs": len(pairs),
        "pairs_apart": len(apart),
        "pairs_right": right,
        "met": max(errors) <= TARGET and right == len(apart),
    }


def _ahead(one: Point, other: Point) -> bool:
    """Whether one scheme was faster than another in every round."""
    return all(a > b for a, b in zip(one.rates, other.rates, strict=True))


def line(point: Point) -> str:
    """A case in a line."""
    return (
        f"{point.model}, {point.scheme}, {point.at_once} at once: predicted"
        f" {point.predicted:,.0f}, measured {point.measured:,.0f} [{min(point.rates):,.0f},"
        f" {max(point.rates):,.0f}] tokens a second, {point.error:+.0%}"
    )


def _silent(message: str) -> None:
    """Say nothing of a start."""


def main() -> None:
    """Measure and print; with `--json`, write as well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = asyncio.run(measure(arguments.rounds))
    for each in found["points"]:
        print(line(Point(**{field.name: each[field.name] for field in fields(Point)})))
    print(
        f"{found['within_target']} of {found['of']} within {TARGET:.0%}; median error"
        f" {found['median_error']:.0%}, largest {found['largest_error']:.0%}; rank correlation"
        f" {found['rank_correlation']:.3f}; of {found['pairs']} pairs of"
        f" schemes {found['pairs_apart']} differ in every round, {found['pairs_right']} of them as"
        f" predicted; targets"
        f" {'met' if found['met'] else 'not met'}"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
