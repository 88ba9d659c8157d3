"""What the advisor predicts for this machine, against what the engine does.

Run: `python -m benchmarks.advisor [--json FILE]`, some six minutes on two cores with nothing beside
it. Targets: tokens a second within 25%, and the schemes of each case in the right order. Two models
(mini-reasoner, and a Llama of 32 million random weights, where arithmetic matters) in every scheme
that runs here, with 1, 16 and 64 answers at once.

The engine is calibrated first, anew: on mini-reasoner and on another random model, in the plain
type alone, with 2, 8 and 48 answers at once. So no point that is predicted is among those that were
fitted, and of the other schemes and the larger model the calibration has seen nothing but the speed
of their matrix products. Weights in 8 bits are made up: how fast they are does not depend on what
they say. Reported are medians of rounds in turn, with their ranges.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tts.advice.calibration import BATCHES, Calibration, calibrate
from tts.advice.plans import Plan, choice
from tts.advice.prediction import predict
from tts.advice.runs import engine_of, interleaved, random_model, warm
from tts.advice.workload import Workload
from tts.engine import Hardware, Progress, Shape, detect, read_shape, resolve_model
from tts.engine.hardware import has_operator
from tts.engine.schemes import CACHE_FORMATS
from tts.engine.shape import sized

TARGET = 0.25
"""Most relative error of tokens a second."""

AT_ONCE = (1, 16, 64)
_PROMPT, _ANSWER = 32, 32
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
        measured: The same, the median of the rounds.
        low: The least of them.
        high: The most of them.
    """

    model: str
    scheme: str
    at_once: int
    predicted: float
    measured: float
    low: float
    high: float

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
            for plan in plans:
                if plan.speed_known(model.shape, calibrated.machine):
                    points += await _compare(model, plan, calibrated, hardware, rounds)
    return {
        "points": [{**asdict(each), "error": each.error} for each in points],
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
    model: Model, plan: Plan, calibrated: Calibration, hardware: Hardware, rounds: int
) -> list[Point]:
    """Tokens a second of one scheme, both ways."""
    loads = [Workload(count, _PROMPT, _ANSWER) for count in AT_ONCE]
    loaded = plan.loaded(model.shape, hardware)
    expected = [predict(loaded, calibrated.machine, load, calibrated.efficiency) for load in loads]
    with ExitStack() as stack:
        path, settings = model.path, {"dtype": plan.scheme.dtype or "auto"}
        if plan.scheme.name in _WRITTEN:
            written = {**model.config, "quantization_config": _WRITTEN[plan.scheme.name]}
            path = stack.enter_context(random_model(written))
        async with engine_of(path, hardware, loads[-1], settings, _silent) as engine:
            await warm(engine, model.shape, loads[-1])
            times = await interleaved(engine, model.shape, loads, rounds)
    found = []
    for load, prediction, took in zip(loads, expected, times, strict=True):
        rates = [load.concurrency * load.completion_tokens / seconds for seconds in took]
        found.append(
            Point(
                model.name,
                plan.scheme.name,
                int(load.concurrency),
                prediction.tokens_per_second,
                statistics.median(rates),
                min(rates),
                max(rates),
            )
        )
        _say(line(found[-1]))
    return found


def summary(points: Sequence[Point]) -> dict[str, Any]:
    """How good the predictions are.

    Args:
        points: At least two cases.
    """
    from scipy.stats import spearmanr

    errors = [abs(point.error) for point in points]
    cases = sorted({(point.model, point.at_once) for point in points})
    right = [_ordered([p for p in points if (p.model, p.at_once) == case]) for case in cases]
    rank = spearmanr([p.predicted for p in points], [p.measured for p in points]).statistic
    return {
        "within_target": sum(error <= TARGET for error in errors),
        "of": len(errors),
        "median_error": statistics.median(errors),
        "largest_error": max(errors),
        "rank_correlation": float(rank),
        "right_orders": sum(right),
        "orders": len(right),
        "met": max(errors) <= TARGET and all(right),
    }


def _ordered(points: Sequence[Point]) -> bool:
    """Whether the schemes of one case are predicted in the measured order."""
    by_prediction = sorted(points, key=lambda point: -point.predicted)
    by_measurement = sorted(points, key=lambda point: -point.measured)
    return by_prediction == by_measurement


def line(point: Point) -> str:
    """A case in a line."""
    return (
        f"{point.model}, {point.scheme}, {point.at_once} at once: predicted"
        f" {point.predicted:,.0f}, measured {point.measured:,.0f} [{point.low:,.0f},"
        f" {point.high:,.0f}] tokens a second, {point.error:+.0%}"
    )


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _silent(message: str) -> None:
    """Say nothing of a start."""


def main() -> None:
    """Measure and print; with `--json`, write as well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TTS_CACHE"] = cache  # so that nothing is known of this machine
        found = asyncio.run(measure(arguments.rounds))
    for each in found["points"]:
        print(line(Point(**{name: value for name, value in each.items() if name != "error"})))
    print(
        f"{found['within_target']} of {found['of']} within {TARGET:.0%}; median error"
        f" {found['median_error']:.0%}, largest {found['largest_error']:.0%}; rank correlation"
        f" {found['rank_correlation']:.3f}; schemes in the right order in"
        f" {found['right_orders']} of {found['orders']} cases; targets"
        f" {'met' if found['met'] else 'not met'}"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
