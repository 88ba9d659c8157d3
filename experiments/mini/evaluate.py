"""Measures a model on problems that it was not trained on, and writes what its card says.

    python -m experiments.mini.evaluate --model mini-reasoner --out outputs/mini-reasoner

Five kinds of stages, all sampled with the seeds of `tts run`: one temperature after another on
validation problems, of which the best is chosen; then, on test problems, greedy decoding, the best
temperature, the samples, and a deep pool of the first problems of each level. Nothing is drawn
twice, and a command that was killed goes on from where it was. `figures.json` in the folder holds
the figures; `experiments.mini.cards` writes them into the card.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.mini import tables
from experiments.mini.about import about, write
from experiments.mini.figures import ALL, ByLevel, at_k, curves, measured, well_formed
from experiments.mini.stages import Stage, run
from tts.backends.replay import ReplayBackend
from tts.evaluation import Record
from tts.evaluation.estimators import majority_at_k, pass_at_k
from tts.evaluation.progress import Display
from tts.protocols import Backend

FIGURES, REPLAY = "figures.json", "replay"
"""What stands in the folder beside the stages."""


@dataclass(frozen=True)
class Plan:
    """How much is measured; problems are numbers of each level.

    Attributes:
        problems: Test problems.
        samples: Answers to each of them.
        temperature: Of these.
        deep_problems: The first test problems of each level, of which there are more answers.
        deep_samples: Answers to each of them, at least `samples`.
        temperatures: Among which the best is looked for, each above 0.
        grid_problems: Validation problems on which that is done.
        grid_samples: Answers to each of them, and to each test problem at the best temperature.
    """

    problems: int = 250
    samples: int = 16
    temperature: float = 0.8
    deep_problems: int = 100
    deep_samples: int = 64
    temperatures: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8, 1.0)
    grid_problems: int = 100
    grid_samples: int = 4


async def measure(plan: Plan, backend: Backend, out: Path, display: Display) -> dict[str, Any]:
    """Run all stages that have not been run, and take the figures.

    Args:
        plan: How much.
        backend: Decodes; started if anything is missing, closed in the end.
        out: Folder of the stages and the replay cache.
        display: Shows how it goes.
    """
    cached = ReplayBackend(backend, out / REPLAY)

    async def done(label: str, problems: int, samples: int = 1, *how: Any) -> list[Record]:
        return await run(Stage(label, problems, samples, *how), cached, out, display)

    try:
        size, each = plan.grid_problems, plan.grid_samples
        grid = {
            t: _solved(await done(f"validation-{t:g}", size, each, t, "validation"))
            for t in plan.temperatures
        }
        return figures(
            plan,
            grid,
            greedy=await done("greedy", plan.problems),
            best=await done("best-temperature", plan.problems, each, best_temperature(grid)),
            sampled=await done("samples", plan.problems, plan.samples, plan.temperature),
            deep=await done("deep", plan.deep_problems, plan.deep_samples, plan.temperature),
        )
    finally:
        await cached.aclose()


def best_temperature(grid: dict[float, ByLevel]) -> float:
    """The temperature of the highest pass@1 over all levels; of equals the lowest."""
    return min(grid, key=lambda t: (-grid[t][ALL][0], t))


def figures(
    plan: Plan,
    grid: dict[float, ByLevel],
    *,
    greedy: Sequence[Record],
    best: Sequence[Record],
    sampled: Sequence[Record],
    deep: Sequence[Record],
) -> dict[str, Any]:
    """All figures of the card, of JSON types.

    Args:
        plan: What was measured.
        grid: pass@1 on validation problems by temperature.
        greedy: One greedy answer to each test problem.
        best: Answers to each test problem at the best temperature.
        sampled: Answers to each test problem.
        deep: Answers to the first test problems of each level.
    """
    return {
        "plan": asdict(plan),
        "temperatures": {f"{t:g}": figure for t, figure in grid.items()},
        "best_temperature": best_temperature(grid),
        "levels": {
            "pass@1": _solved(sampled),
            "greedy": _solved(greedy),
            "best temperature": _solved(best),
            f"majority@{plan.samples}": measured(sampled, at_k(majority_at_k, plan.samples)),
            f"pass@{plan.samples}": measured(sampled, at_k(pass_at_k, plan.samples)),
            f"pass@{plan.deep_samples}": measured(deep, at_k(pass_at_k, plan.deep_samples)),
            "well-formed": measured(sampled, well_formed),
        },
        "curves": curves(deep),
    }


def _solved(records: Sequence[Record]) -> ByLevel:
    return measured(records, at_k(pass_at_k, 1))


def main() -> None:
    """Reads the command line, measures, writes the figures, prints the tables."""
    arguments = _read()
    plan = Plan(**{name: getattr(arguments, name) for name in asdict(Plan())})
    from tts.backends.vllm import VLLMBackend

    arguments.out.mkdir(parents=True, exist_ok=True)
    with Display(Console(stderr=True, highlight=False)) as display:
        backend = VLLMBackend(arguments.model)
        known = about(backend.provenance()["weights"])
        found = asyncio.run(measure(plan, backend, arguments.out, display))
    found = {"about": known, **found}
    write(arguments.out / FIGURES, found)
    for name in tables.OF_A_MODEL:
        print(tables.OF_A_MODEL[name](found), end="\n\n")


def _read() -> argparse.Namespace:
    default = Plan()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add = parser.add_argument
    add("--model", required=True, help="a model that comes with tts, or a directory")
    add("--out", type=Path, required=True, help="folder of samples and figures")
    add("--problems", type=int, default=default.problems, help="test problems of each level")
    add("--samples", type=int, default=default.samples, help="answers to each")
    add("--temperature", type=float, default=default.temperature, help="of these")
    add("--deep-problems", type=int, default=default.deep_problems, help="those with more answers")
    add("--deep-samples", type=int, default=default.deep_samples, help="answers to each of them")
    add(
        "--temperatures",
        type=_numbers,
        default=default.temperatures,
        help="among which the best is looked for, with commas",
    )
    add(
        "--grid-problems",
        type=int,
        default=default.grid_problems,
        help="validation problems for it",
    )
    add("--grid-samples", type=int, default=default.grid_samples, help="answers to each of them")
    return parser.parse_args()


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


if __name__ == "__main__":
    main()
