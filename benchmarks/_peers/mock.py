"""The mock engine that both sides face: slots, step latencies, a reward model, and the counts.

Standard library only: the other side's interpreter imports it too, and has nothing else of this
project. It knows no search. Time is the event loop's: real, or virtual (see `VirtualLoop`).
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import selectors
import sys
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

DELIMITER = "\n\n"
LAST = "\\boxed"
TOKENS = 60  # of a step, where somebody counts them
_FILLER = "The rest of this step is as long as steps are. " * 4


@dataclass(frozen=True)
class Job:
    """What one side is to do, and the engine on which it does it.

    The reward model is a pool of replicas. One that is free takes what waits as a batch, which
    costs `call_s` and `item_s` for each step in it.

    Attributes:
        search: `particles`, `beam` or `async_beam`.
        problems: How many are solved.
        at_once: Most of them side by side, at least 1.
        n: Particles, or candidates at each step.
        width: Next steps drawn from each beam; `n // width` are kept.
        seed: Of latencies and scores.
        steps: Of every answer.
        slots: Steps that the engine decodes at once.
        step_s: Mean latency of a step in seconds.
        spread: Standard deviation of its logarithm.
        replicas: Batches that are judged at once.
        call_s: Seconds of each batch.
        item_s: Seconds of each step in it.
        even: Whether what waits is shared evenly among the replicas that are free.
        virtual: Whether time is virtual.
    """

    search: str
    problems: int
    at_once: int
    n: int = 8
    width: int = 4
    seed: int = 0
    steps: int = 8
    slots: int = 32
    step_s: float = 0.1
    spread: float = 0.9
    replicas: int = 8
    call_s: float = 0.003
    item_s: float = 0.014
    even: bool = False
    virtual: bool = False

    @property
    def names(self) -> list[str]:
        """Of the problems; others for another seed."""
        return [f"problem {self.seed}.{number}" for number in range(self.problems)]


@dataclass(frozen=True, slots=True)
class Step:
    """A step of an answer: what it says, without a delimiter, and how long that takes."""

    text: str
    seconds: float
    last: bool


@dataclass(eq=False)
class Engine:
    """The engine of one job, bound to the event loop on which it is made.

    The k-th draw of a step of a problem has the same latency, text and score for whoever asks, so
    that two searches which ask for as many steps of each depth get the same work.
    """

    job: Job
    calls: int = 0
    judged: int = 0
    batches: int = 0
    _decodes: list[tuple[float, float]] = field(default_factory=list)
    _solved: list[float] = field(default_factory=list)
    _drawn: Counter[tuple[str, int]] = field(default_factory=Counter)
    _waiting: deque[tuple[str, asyncio.Future[float]]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._slots = asyncio.Semaphore(self.job.slots)
        self._free = self.job.replicas
        self._start = self._loop.time()

    def draw(self, problem: str, step: int) -> Step:
        """What comes after `step` steps of an answer; each call is another draw."""
        number = self._drawn[problem, step]
        self._drawn[problem, step] += 1
        self.calls += 1
        name = f"Step {step + 1}, draw {number} for {problem}"
        normal = random.Random(f"{name} takes").gauss(0, 1)
        seconds = self.job.step_s * math.exp(
            self.job.spread * normal - self.job.spread * self.job.spread / 2
        )
        last = step + 1 == self.job.steps
        return Step(f"{name}: {_FILLER}{LAST + '{1}' if last else ''}", seconds, last)

    async def decode(self, seconds: float) -> None:
        """Hold a slot for so long, once there is one."""
        async with self._slots:
            begun = self._loop.time()
            try:
                await asyncio.sleep(seconds)
            finally:
                # A process that comes too late to see it has an idle slot.
                self._decodes.append((begun, min(begun + seconds, self._loop.time())))

    async def judge(self, texts: Sequence[str]) -> list[float]:
        """The probability of the newest step of each partial answer."""
        self.judged += len(texts)
        scores = [self._loop.create_future() for _ in texts]
        self._waiting.extend(zip(texts, scores, strict=True))
        self._serve()
        return [await score for score in scores]

    def _serve(self) -> None:
        while self._free and self._waiting:
            among = self._free if self.job.even else 1
            size = math.ceil(len(self._waiting) / among)
            batch = [self._waiting.popleft() for _ in range(size)]
            self._free -= 1
            self.batches += 1
            cost = self.job.call_s + self.job.item_s * size
            self._loop.call_later(cost, self._judged, batch)

    def _judged(self, batch: Sequence[tuple[str, asyncio.Future[float]]]) -> None:
        self._free += 1
        for text, score in batch:
            if not score.done():  # nobody has given up
                newest = text.rstrip().rpartition(DELIMITER)[2]
                score.set_result(random.Random(newest).uniform(0.01, 0.99))
        self._serve()

    def solved(self) -> None:
        """A problem has been solved."""
        self._solved.append(self._loop.time())

    def use(self, until: float) -> float:
        """Share of the slots that was busy from the start to `until`."""
        busy = sum(max(0.0, min(end, until) - begun) for begun, end in self._decodes)
        return busy / (self.job.slots * (until - self._start))

    def report(self) -> dict[str, float | None]:
        """What was done, and how well.

        `slot_use` is the share of busy slots as long as enough problems were open to fill them
        all; None if there never were. `slot_use_to_the_end` includes the end.
        """
        now = self._loop.time()
        needed = math.ceil(self.job.slots / self.job.n)
        place = len(self._solved) - needed
        return {
            "seconds": now - self._start,
            "calls": self.calls,
            "judged": self.judged,
            "batches": self.batches,
            "slot_use": self.use(sorted(self._solved)[place]) if place >= 0 else None,
            "slot_use_to_the_end": self.use(now),
        }


Solve = Callable[[Job, Engine], Awaitable[None]]
"""One side: does a job on an engine."""


class _Jump(selectors.SelectSelector):
    """Never waits: time jumps to the next thing that is due."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout:
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only when nothing else can happen; code takes none."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        """Virtual seconds since the start."""
        return self._jump.now


def perform(job: Job, solve: Solve) -> dict[str, Any]:
    """Do a job on a new engine and a new event loop."""

    async def measured() -> dict[str, Any]:
        cpu = time.process_time()
        engine = Engine(job)
        await solve(job, engine)
        return {**engine.report(), "cpu_seconds": time.process_time() - cpu}

    with asyncio.Runner(loop_factory=VirtualLoop if job.virtual else None) as runner:
        return runner.run(measured())


def serve(solve: Solve) -> None:
    """Do the jobs that come line by line on the standard input; report each on the output."""
    for line in sys.stdin:
        print(json.dumps(perform(Job(**json.loads(line)), solve)), flush=True)
