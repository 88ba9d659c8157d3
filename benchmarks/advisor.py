"""What the advisor predicts for this machine, against what the engine does.

Run: `python -m benchmarks.advisor [--json FILE]`, some eight minutes on two cores with nothing
beside it. Targets: tokens a second within 25%, and the schemes of each case in the right order. Two
models (mini-reasoner, and a Llama of 32 million random weights, where arithmetic matters) in every
scheme that runs here, with 1, 16 and 64 answers at once.

The engine is calibrated first, anew: on mini-reasoner and on another random model, in the plain
type alone, with 2, 8 and 48 answers at once. So no point that is predicted is among those that were
fitted, and of the other schemes and the larger model the calibration has seen nothing but the speed
of their matrix products. Weights in 8 bits are made up: how fast they are does not depend on what
they say. Reported are medians of rounds in turn, with their ranges. The engines of one model are up
together and take turns, so that a slow phase of the machine hits all schemes alike; two schemes are
put in an order where one of them was faster in every round.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import asdict, dataclass, fields
from itertools import combinations
from pathlib import Path
from typing import Any

from tts.advice.calibration import BATCHES, Calibration, calibrate
from tts.advice.plans import Plan, choice
from tts.advice.prediction import predict
from tts.advice.runs import engine_of, random_model, timed, warm
from tts.advice.workload import Workload
from tts.engine import Engine, Hardware, Progress, Shape, detect, read_shape, resolve_model
from tts.engine.hardware import has_operator
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


async def measure(rounds: int) -> dict[str, Any]:
    """Calibrate, predict, and measure."""
    hardware = detect()
    points: list[Point] = []
    with ExitStack() as stack:
        for model in _models(stack):
            plans = _plans(model.shape, hardware)
            kinds = {plan.loaded(model.shape, hardware).numerics for plan in plans}
            types = sorted({name for each in kinds for name in (each.arithmetic, each.plain)})
            # The engine's own time is measured once; the products in the sizes of each model.
            calibrated = await calibrate(model.shape, types, hardware, Progress(), anew=False)
            known = [each for each in plans if each.speed_known(model.shape, calibrated.machine)]
            points += await _compare(model, known, calibrated, hardware, rounds)
    return {
        "points": [
            {**asdict(each), "measured": each.measured, "error": each.error} for each in points
        ],
        "efficiency": asdict(calibrated.efficiency),
        "fitted": {"runs": calibrated.points, "error": calibrated.error, "at_once": BATCHES},
        "rounds": rounds,
        **summary(points),
    }


def _models(stack: ExitStack) -> Iterator[Model]:
    for name, path in (
        ("mini-reasoner", resolve_model("mini-reasoner")),
        ("random Llama", stack.enter_context(random_model(_LARGE))),
    ):
        config = json.loads((path / "config.json").read_text())
        yield Model(name, path, sized(read_shape(path)), config)


def _plans(shape: Shape, hardware: Hardware) -> list[Plan]:
    """Those that can be made on the spot: plain types, and formats that can be written here."""
    found = choice(shape, hardware, has_operator, [CACHE_FORMATS["auto"]]).plans
    # The two types of 16 bits are alike; one of them will do.
    wanted = {"fp32", "bf16", *_WRITTEN}
    return [plan for plan in found if plan.scheme.name in wanted]


async def _compare(
    model: Model, plans: Sequence[Plan], calibrated: Calibration, hardware: Hardware, rounds: int
) -> list[Point]:
    """Tokens a second of a model's schemes, both ways."""
    loads = [Workload(count, _PROMPT, _ANSWER) for count in AT_ONCE]
    times: list[list[list[float]]] = [[[] for _ in loads] for _ in plans]
    async with AsyncExitStack() as stack:
        engines = [await _started(stack, model, plan, hardware, loads[-1]) for plan in plans]
        for number in range(rounds):
            for engine, found in zip(engines, times, strict=True):
                for load, took in zip(loads, found, strict=True):
                    took.append(await _seconds(engine, model.shape, load, seed=1 + number))
    points = []
    for plan, found in zip(plans, times, strict=True):
        loaded = plan.loaded(model.shape, hardware)
        for load, took in zip(loads, found, strict=True):
            expected = predict(loaded, calibrated.machine, load, calibrated.efficiency)
            rates = tuple(load.concurrency * load.completion_tokens / each for each in took)
            at_once = int(load.concurrency)
            said = expected.tokens_per_second
            points.append(Point(model.name, plan.scheme.name, at_once, said, rates))
    return points


async def _started(
    stack: AsyncExitStack, model: Model, plan: Plan, hardware: Hardware, most: Workload
) -> Engine:
    """An engine in one scheme, warm."""
    path, settings = model.path, {"dtype": plan.scheme.dtype or "auto", "kv_cache_gib": _CACHE_GIB}
    if plan.scheme.name in _WRITTEN:
        written = {**model.config, "quantization_config": _WRITTEN[plan.scheme.name]}
        path = stack.enter_context(random_model(written))
    engine = engine_of(path, hardware, most, settings, _silent)
    await stack.enter_async_context(engine)
    await warm(engine, model.shape, most)
    return engine


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
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TTS_CACHE"] = cache  # so that nothing is known of this machine
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
