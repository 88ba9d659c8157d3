"""Measures a thinker on test problems, and writes what its card says.

    python -m experiments.mini.evaluate_thinking --model mini-thinker --out outputs/mini-thinker

Greedy answers and samples are stages like those of `evaluate`, and go on after a kill. Then the
thinking of the first sample of each problem is cut after a part of its tokens, wherever that is,
and the answer is asked for. `thinking.json` in the folder holds the figures; `cards` writes them
into the card.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.mini import tables, thinking_figures
from experiments.mini.about import about, write
from experiments.mini.figures import ByLevel, at_k, by_level, measured, place_of, well_formed
from experiments.mini.sampling import MOST_TOKENS_OF_A_THINKER, boxed
from experiments.mini.stages import IN_FLIGHT, SEED, Stage, run
from experiments.mini.thinking_figures import Reads, cut_text, read_answer
from tts.evaluation import Record
from tts.evaluation.estimators import majority_at_k, pass_at_k
from tts.evaluation.progress import Display
from tts.evaluation.store import Trees
from tts.protocols import Backend
from tts.seeds import derive
from tts.tasks.mini_problems import generate
from tts.types import Problem, Request, Sampling, Segment, Trajectory

FIGURES = "thinking.json"
ANSWER_TOKENS = 8
"""Most tokens of an answer that was asked for: its digits, the brace and the end."""


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        problems: Test problems of each level.
        samples: Answers to each of them.
        temperature: Of these.
        cuts: Parts of the thinking after which it is cut, each from 0 to 1.
    """

    problems: int = 40
    samples: int = 8
    temperature: float = 0.8
    cuts: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)


async def measure(plan: Plan, backend: Backend, out: Path, display: Display) -> dict[str, Any]:
    """Run the stages that have not been run, ask for answers early, and take the figures.

    Args:
        plan: How much.
        backend: Decodes; started if anything is missing, closed in the end.
        out: Folder of the stages.
        display: Shows how it goes.
    """
    most = MOST_TOKENS_OF_A_THINKER
    try:
        greedy = await run(Stage("greedy", plan.problems, max_tokens=most), backend, out, display)
        stage = Stage("samples", plan.problems, plan.samples, plan.temperature, max_tokens=most)
        sampled = await run(stage, backend, out, display)
        texts = read_texts(out / stage.label, sampled)
        cuts = {f"{part:.0%}": await _early(texts, part, backend) for part in plan.cuts}
    finally:
        await backend.aclose()
    return figures(plan, greedy, sampled, texts, cuts)


def read_texts(folder: Path, records: Sequence[Record]) -> dict[str, list[str]]:
    """The texts of the answers of a stage, by problem id."""
    trees = Trees(folder)
    return {
        record.problem_id: [leaf.text for leaf in trees[record.file_key].trajectories()]
        for record in records
    }


async def _early(texts: dict[str, list[str]], part: float, backend: Backend) -> ByLevel:
    """Share of right answers where the first thinking of each problem is cut after a part."""
    free = asyncio.Semaphore(IN_FLIGHT)

    async def right(problem_id: str) -> bool:
        level, index, split = place_of(problem_id)
        problem = generate(level, index, split)
        prefix = cut_text(texts[problem_id][0], part)
        request = Request(
            Problem.chat(problem_id, problem.prompt),
            Trajectory.root().extend(Segment(prefix, origin="injected"), child=0, clock=0),
            sampling=Sampling(temperature=0.0),
            max_tokens=ANSWER_TOKENS,
            seed=derive(SEED, problem_id, "early", f"{part:g}"),
        )
        async with free, backend.open(request) as stream:
            async for _ in stream:
                pass
        return boxed(stream.trajectory.text) == problem.answer

    found = await asyncio.gather(*map(right, texts))
    return by_level({name: float(value) for name, value in zip(texts, found, strict=True)})


def figures(
    plan: Plan,
    greedy: Sequence[Record],
    sampled: Sequence[Record],
    texts: dict[str, list[str]],
    cuts: dict[str, ByLevel],
) -> dict[str, Any]:
    """All figures of the card, of JSON types.

    Args:
        plan: What was measured.
        greedy: One greedy answer to each problem.
        sampled: Answers to each problem.
        texts: The texts of these.
        cuts: Share of right answers by the part of the thinking that there was.
    """
    reads: Reads = {name: [read_answer(text) for text in each] for name, each in texts.items()}
    return {
        "plan": asdict(plan),
        "levels": {
            "pass@1": measured(sampled, at_k(pass_at_k, 1)),
            "greedy": measured(greedy, at_k(pass_at_k, 1)),
            f"majority@{plan.samples}": measured(sampled, at_k(majority_at_k, plan.samples)),
            f"pass@{plan.samples}": measured(sampled, at_k(pass_at_k, plan.samples)),
            "well-formed": measured(sampled, well_formed),
        },
        "lengths": thinking_figures.lengths(reads),
        "spread": thinking_figures.spread(reads),
        "redundancy": thinking_figures.redundancy(reads),
        "rechecks": thinking_figures.rechecks(reads),
        "cuts": cuts,
    }


def main() -> None:
    """Reads the command line, measures, writes the figures, prints the tables."""
    default = Plan()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add = parser.add_argument
    add("--model", required=True, help="a thinker that comes with tts, or a directory")
    add("--out", type=Path, required=True, help="folder of samples and figures")
    add("--problems", type=int, default=default.problems, help="test problems of each level")
    add("--samples", type=int, default=default.samples, help="answers to each")
    add("--temperature", type=float, default=default.temperature, help="of these")
    arguments = parser.parse_args()
    plan = Plan(arguments.problems, arguments.samples, arguments.temperature)
    from tts.backends.vllm import VLLMBackend

    arguments.out.mkdir(parents=True, exist_ok=True)
    with Display(Console(stderr=True, highlight=False)) as display:
        backend = VLLMBackend(arguments.model)
        known = about(backend.provenance()["weights"])
        found = asyncio.run(measure(plan, backend, arguments.out, display))
    found = {"about": known, **found}
    write(arguments.out / FIGURES, found)
    for table in tables.OF_A_THINKER.values():
        print(table(found), end="\n\n")


if __name__ == "__main__":
    main()
