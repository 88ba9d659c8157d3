"""Draws answers of a reasoner, and roll-outs from prefixes of them, to learn values from.

    python -m experiments.mini.rollouts --model out/mini/model --out out/rollouts

Where an answer is gone on from is drawn before the answer is: after so many tokens, or at the end
of such a step. So whether a prefix is chosen does not depend on how the answer goes on behind it
(a choice among the tokens of a whole answer would: the longer the answer, the rarer each of them),
and what comes of the answer remains as good a draw as any roll-out; `values` relies on that.

A command that was killed goes on where it was. Every draw has a seed of its own, so what is drawn
does not depend on the order in which things end. This module knows nothing of training.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from experiments.mini.config import RollOuts
from experiments.mini.draws import Draw, Store, Tree
from experiments.mini.sampling import boxed
from experiments.mini.tokenizer import VOCABULARY
from tts.backends.vllm import VLLMBackend
from tts.protocols import Backend
from tts.seeds import derive
from tts.tasks.mini_problems import LEVELS, STEP_END, MiniProblem, generate
from tts.types import Problem, Request, Sampling, Segment, Trajectory

IN_FLIGHT = 192
"""Requests in flight: enough for the engine's 128 places although the answers differ in length."""
AT_ONCE = 48
"""Problems at once: enough to have so many requests although each waits for its answers first."""
LONGEST_PROMPT = 64
"""Tokens, more than any prompt has."""
REPORT_SECONDS = 10.0
_STEP_END = VOCABULARY.index(STEP_END)


def problems(settings: RollOuts) -> Iterator[MiniProblem]:
    """The problems, the levels taking turns."""
    levels = sorted(LEVELS)
    for number in range(settings.problems):
        place, turn = divmod(number, len(levels))
        yield generate(levels[turn], settings.first + place, "train")


def branch_points(
    problem: MiniProblem, length: int, sample: int, settings: RollOuts
) -> tuple[frozenset[int], frozenset[int]]:
    """Where an answer is to be gone on from, before it is known.

    Args:
        problem: the problem; its worked solution says how many steps an answer may have.
        length: tokens of that solution.
        sample: number of the answer.
        settings: how many.

    Returns:
        Numbers of tokens, 1 to `length` - 1, and numbers of steps from 1, after which to branch.
    """
    rng = random.Random(derive(settings.seed, problem.id, "branches", sample))
    steps = problem.solution.count(STEP_END)
    at_steps = min(settings.branches // 2, steps)
    at_tokens = min(settings.branches - settings.branches // 2, length - 1)
    return (
        frozenset(rng.sample(range(1, length), at_tokens)),
        frozenset(rng.sample(range(1, steps + 1), at_steps)),
    )


def places(
    tokens: tuple[int, ...], after: tuple[frozenset[int], frozenset[int]], most: int
) -> list[int]:
    """The prefixes of an answer, by their lengths, to which branch points lead.

    The whole answer is one of them if a point is there: that the model ends it is a draw as well.

    Args:
        tokens: of the answer.
        after: the points, see `branch_points`.
        most: tokens at which answers are cut; nothing can follow there.
    """
    lengths, steps = after
    ends = [place + 1 for place, token in enumerate(tokens) if token == _STEP_END]
    chosen = lengths | {end for number, end in enumerate(ends, 1) if number in steps}
    return sorted(place for place in chosen if place <= len(tokens) and place < most)


class Explorer:
    """Draws for one problem after another.

    Args:
        backend: decodes; must know token ids and seeds.
        settings: how much.

    Attributes:
        tokens: tokens generated so far.
        draws: answers and roll-outs so far.
    """

    def __init__(self, backend: VLLMBackend, settings: RollOuts) -> None:
        self.tokens = self.draws = 0
        self._backend = backend
        self._settings = settings
        self._free = asyncio.Semaphore(IN_FLIGHT)

    async def explore(self, problem: MiniProblem) -> Tree:
        """All answers and roll-outs of a problem."""
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._sample(problem, sample))
                for sample in range(self._settings.samples)
            ]
        found = [task.result() for task in tasks]
        answers = [draws[0] for draws in found]
        rollouts = itertools.chain.from_iterable(draws[1:] for draws in found)
        asked = Problem.chat(problem.id, problem.prompt)
        prompt = tuple(self._backend.text.encode(asked, Trajectory.root()))
        return Tree(problem.id, problem.level, prompt, (*answers, *rollouts))

    async def _sample(self, problem: MiniProblem, sample: int) -> list[Draw]:
        """An answer, followed by the roll-outs from its prefixes."""
        settings = self._settings
        length = len(self._backend.text.ids_of(problem.solution))
        answer = await self._draw(problem, (), sample)
        points = branch_points(problem, length, sample, settings)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._draw(problem, answer.tokens[:at], sample, number))
                for at in places(answer.tokens, points, settings.max_tokens)
                for number in range(settings.rollouts)
            ]
        return [answer, *(task.result() for task in tasks)]

    async def _draw(
        self, problem: MiniProblem, prefix: tuple[int, ...], sample: int, number: int | None = None
    ) -> Draw:
        """Go on from a prefix to the end."""
        backend, settings = self._backend, self._settings
        request = Request(
            Problem.chat(problem.id, problem.prompt),
            _trajectory(backend, prefix),
            child=number or 0,
            sampling=Sampling(temperature=settings.temperature),
            max_tokens=settings.max_tokens - len(prefix),
            seed=derive(settings.seed, problem.id, sample, len(prefix), number),
        )
        async with self._free, backend.open(request) as stream:
            async for _ in stream:
                pass
        leaf = stream.trajectory
        tokens = leaf.segment.tokens if leaf.segment else None
        assert tokens is not None  # the backend gives token ids
        self.tokens += stream.usage.completion_tokens
        self.draws += 1
        ended = leaf.finish == "stop"
        right = ended and boxed(leaf.text) == problem.answer
        parent = None if number is None else sample
        return Draw(tokens, ended, right, parent, len(prefix))


def _trajectory(backend: VLLMBackend, prefix: tuple[int, ...]) -> Trajectory:
    root = Trajectory.root()
    if not prefix:
        return root
    segment = Segment(backend.text.decode(prefix), tokens=prefix, tokenizer=backend.model.tokenizer)
    return root.extend(segment, child=len(prefix), clock=len(prefix))


def made_with(backend: Backend, settings: RollOuts) -> dict[str, Any]:
    """All that decides what is drawn for a problem; which problems does not."""
    numbers = {k: v for k, v in asdict(settings).items() if k not in ("problems", "first")}
    return {**numbers, "weights": backend.identity()["weights"]}


async def collect(
    backend: VLLMBackend,
    settings: RollOuts,
    out: Path,
    *,
    report: Callable[[str], None] = print,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Draw for all problems that `out` does not hold yet.

    Args:
        backend: decodes.
        settings: how much.
        out: folder of the roll-outs.
        report: told how it goes.
        clock: seconds, for the speed.

    Raises:
        ConfigError: `out` holds roll-outs of another model or other numbers.
    """
    store = Store(out, made_with(backend, settings))
    try:
        missing = [problem for problem in problems(settings) if problem.id not in store.done]
        report(f"{len(missing)} of {settings.problems} problems are missing")
        explorer, queue, start = Explorer(backend, settings), iter(missing), clock()
        done = last = 0.0

        async def work() -> None:
            nonlocal done, last
            for problem in queue:  # shared by all workers
                store.append(await explorer.explore(problem))
                done, elapsed = done + 1, clock() - start
                if elapsed - last > REPORT_SECONDS or done == len(missing):
                    last = elapsed
                    report(_progress(explorer, int(done), len(missing), elapsed))

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(work())
    finally:
        store.close()


def _progress(explorer: Explorer, done: int, total: int, seconds: float) -> str:
    left = (total - done) * seconds / done / 60
    return (
        f"{done}/{total} problems  {explorer.draws:,} answers  {explorer.tokens:,} tokens  "
        f"{explorer.tokens / seconds:,.0f} tokens/s  {left:.1f} min left"
    )


async def _run(model: str, settings: RollOuts, out: Path) -> None:
    engine = {"max_model_len": settings.max_tokens + LONGEST_PROMPT}
    async with VLLMBackend(model, engine) as backend:
        await collect(backend, settings, out, report=lambda line: print(line, flush=True))


def main() -> None:
    """Reads the command line and draws."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", required=True, help="the reasoner, a name or a directory")
    parser.add_argument("--out", type=Path, required=True, help="the roll-outs go here")
    for entry in fields(RollOuts):
        kind = float if entry.name == "temperature" else int
        flag = "--" + entry.name.replace("_", "-")
        parser.add_argument(flag, type=kind, default=entry.default, help="default %(default)s")
    arguments = vars(parser.parse_args())
    model, out = arguments.pop("model"), arguments.pop("out")
    asyncio.run(_run(model, RollOuts(**arguments), out))


if __name__ == "__main__":
    main()
