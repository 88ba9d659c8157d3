"""How much an engine's answers depend on the batch: float32, bfloat16, and reproducible mode.

Run: `python -m benchmarks.divergence [--problems N] [--json FILE]`, some ten minutes on two cores
with nothing beside it. The same requests, with the same seeds, are sent in several arrangements:
one after the other, 8 and 64 at a time, and 64 at a time in other orders. Nothing but rounding can
part their answers. Reported are, over the arrangements of a mode:

* the share of answers that are equal to the last bit, log-probabilities included, and of those
  whose tokens are equal;
* where the others part, the first token that differs (counted from 0; the median);
* the standard deviation of an answer's length, and of the probability of its likeliest tokens as
  long as the tokens are equal: means over the problems, with 95% intervals over them;
* the accuracies, and their standard deviation;
* tokens per second with 64 at a time, best of the arrangements, as a ratio to float32.

The measures are those of Yuan et al. 2025, "Understanding and Mitigating Numerical Sources of
Nondeterminism in LLM Inference". Target: in reproducible mode all answers are equal to the last
bit.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from tts.backends.vllm import VLLMBackend
from tts.evaluation.statistics import Interval, bootstrap
from tts.seeds import derive
from tts.tasks.mini import MiniTask
from tts.types import Request, Sampling, Segment, Trajectory

MODES: dict[str, dict[str, Any]] = {
    "float32": {"dtype": "float32"},
    "bfloat16": {"dtype": "bfloat16"},
    "reproducible": {"reproducible": True},
}
_WIDTHS = (1, 8, 64, 64, 64)  # requests in flight; from the fourth on in another order
_MODEL = "mini-reasoner"


@dataclass(frozen=True)
class Told:
    """What one request came to.

    Attributes:
        text: Of the answer.
        tokens: Ids.
        logprobs: Of the tokens, in nats.
        likeliest: Probability of the likeliest token at every place.
    """

    text: str
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    likeliest: tuple[float, ...]


@dataclass(frozen=True)
class Spread:
    """How far the arrangements of one mode are apart.

    Attributes:
        equal: Share of problems whose answers are equal to the last bit.
        same_tokens: Share of problems whose answers have equal tokens.
        parting: Median of the first tokens that differ, counted from 0; None if none does.
        length: Standard deviation of an answer's length in tokens.
        probability: Standard deviation of the probability of the likeliest token.
    """

    equal: float
    same_tokens: float
    parting: float | None
    length: Interval
    probability: Interval


def spread(answers: Sequence[Sequence[Told]]) -> Spread:
    """How far arrangements are apart.

    Args:
        answers: By problem, at least one; of each the answer in every arrangement, at least two.
    """
    parted = [first_difference([told.tokens for told in own]) for own in answers]
    longest = max(len(told.tokens) for own in answers for told in own)
    return Spread(
        equal=statistics.fmean(len(set(own)) == 1 for own in answers),
        same_tokens=statistics.fmean(place is None for place in parted),
        parting=statistics.median(found)
        if (found := [p for p in parted if p is not None])
        else None,
        length=bootstrap(
            [statistics.pstdev(len(told.tokens) for told in own) for own in answers],
            bounds=(0.0, longest / 2),
        ),
        probability=bootstrap(
            [_probability(own, place) for own, place in zip(answers, parted, strict=True)],
            bounds=(0.0, 0.5),
        ),
    )


def first_difference(answers: Sequence[Sequence[int]]) -> int | None:
    """The first place at which answers differ, the end of one included; None if they are equal."""
    if len(set(map(tuple, answers))) == 1:
        return None
    return len(list(takewhile(lambda place: len(set(place)) == 1, zip(*answers, strict=False))))


def _probability(own: Sequence[Told], place: int | None) -> float:
    """Mean standard deviation of the likeliest token's probability, before the answers part."""
    columns = list(zip(*(told.likeliest[:place] for told in own), strict=True))
    return statistics.fmean(map(statistics.pstdev, columns)) if columns else 0.0


async def _told(backend: VLLMBackend, request: Request) -> Told:
    async with backend.open(request) as stream:
        async for _ in stream:
            pass
    text = stream.trajectory.segment or Segment("")
    assert text.tokens is not None and text.logprobs is not None and text.top_logprobs is not None
    likeliest = tuple(max(place.values()) for place in text.top_logprobs)
    return Told(text.text, text.tokens, text.logprobs, likeliest)


async def _arranged(
    backend: VLLMBackend, requests: Sequence[Request], width: int, order: int
) -> tuple[list[Told], float]:
    """The answers to all requests, and tokens per second."""
    places = list(range(len(requests)))
    if order:
        random.Random(order).shuffle(places)
    slots = asyncio.Semaphore(width)
    found: dict[int, Told] = {}

    async def one(place: int) -> None:
        async with slots:
            found[place] = await _told(backend, requests[place])

    start = time.perf_counter()
    await asyncio.gather(*map(one, places))
    seconds = time.perf_counter() - start
    answers = [found[place] for place in range(len(requests))]
    return answers, sum(len(told.tokens) for told in answers) / seconds


async def measure(mode: str, task: MiniTask, temperature: float, seed: int) -> dict[str, Any]:
    """All arrangements of a mode."""
    requests = [
        Request(
            item.problem,
            Trajectory.root(),
            sampling=Sampling(temperature),
            max_tokens=task.max_tokens,
            logprobs=1,
            seed=derive(seed, "divergence", item.problem.id),
        )
        for item in task
    ]
    runs: list[list[Told]] = []
    rates: list[float] = []
    async with VLLMBackend(_MODEL, MODES[mode]) as backend:
        await _arranged(backend, requests[:64], 64, 0)  # the first requests wait for a compiler
        for number, width in enumerate(_WIDTHS):
            answers, rate = await _arranged(backend, requests, width, max(0, number - 2))
            print(f"{mode}, T={temperature:g}, {width}: {rate:,.0f} tokens/s", file=sys.stderr)
            runs.append(answers)
            if width == max(_WIDTHS):
                rates.append(rate)
    accuracies = [await _accuracy(task, answers) for answers in runs]
    return {
        "mode": mode,
        "temperature": temperature,
        **asdict(spread(list(zip(*runs, strict=True)))),
        "accuracies": accuracies,
        "accuracy_deviation": statistics.pstdev(accuracies),
        "tokens_per_second": max(rates),
    }


async def _accuracy(task: MiniTask, answers: Sequence[Told]) -> float:
    pairs = zip(task, answers, strict=True)
    grades = [await task.grade(i.problem.id, task.answers.extract(t.text)) for i, t in pairs]
    return statistics.fmean(grades)


async def main(options: argparse.Namespace) -> None:
    """Measure all modes, and print what was found."""
    task = MiniTask(n_problems=options.problems)
    found = [
        await measure(mode, task, temperature, options.seed)
        for temperature in (0.0, 0.8)
        for mode in MODES
    ]
    for row in found:
        base = next(r for r in found if r["temperature"] == row["temperature"])
        row["speed"] = row["tokens_per_second"] / base["tokens_per_second"]
        print(json.dumps(row))
    document = {
        "problems": options.problems,
        "seed": options.seed,
        "widths": _WIDTHS,
        "modes": found,
    }
    if options.json:
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    if any(row["equal"] < 1 for row in found if row["mode"] == "reproducible"):
        raise SystemExit("Reproducible mode depends on the batch.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--problems", type=int, default=200, help="how many (200)")
    parser.add_argument("--seed", type=int, default=0, help="of the draws (0)")
    parser.add_argument("--json", type=Path, help="write what was found to this file")
    asyncio.run(main(parser.parse_args()))
