"""Stages of a measurement: each samples one set of problems in one way, and keeps all answers.

A stage is an arm of `tts.evaluation` in a folder of its own, so one that was killed goes on where
it was; behind the backend stands a replay cache, so stages that share draws pay for them once.
What is made of the answers is for others.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tts.errors import BackendError
from tts.evaluation import Arm, Names, Record, Store, Watcher, evaluate
from tts.protocols import Backend, Strategy
from tts.solve import Setup
from tts.strategies import Greedy, SelfConsistency
from tts.tasks import MiniTask
from tts.tasks.mini_problems import LEVELS, Split
from tts.types import Sampling

IN_FLIGHT = 192
"""Answers in flight: enough for the engine's 128 places although the answers differ in length."""
SEED = 0
"""Of all draws; that of `tts run` by default, so that both share a replay cache."""


@dataclass(frozen=True)
class Stage:
    """One way to sample, and on what.

    Attributes:
        label: Name of the stage and of its folder.
        problems: Problems of each level, at least 1, from index 0 on.
        samples: Answers to each problem, at least 1.
        temperature: 0 for greedy decoding, of which one answer is enough.
        split: Part of all problems to draw from.
        max_tokens: Longest answer; enough for a reasoner by default.
    """

    label: str
    problems: int
    samples: int = 1
    temperature: float = 0.0
    split: Split = "test"
    max_tokens: int = 224

    def task(self) -> MiniTask:
        """Its problems, levels taking turns."""
        number = self.problems * len(LEVELS)
        return MiniTask(n_problems=number, split=self.split, max_tokens=self.max_tokens)

    def arm(self, task: MiniTask, backend: Backend) -> Arm:
        """How its problems are solved; all answers are kept with their tokens."""
        strategy: Strategy = SelfConsistency(n=self.samples) if self.temperature else Greedy()
        setup = Setup(
            strategy=strategy,
            backend=backend,
            answers=task.answers,
            sampling=Sampling(temperature=self.temperature),
            max_tokens=task.max_tokens,
            seed=SEED,
        )
        names = Names(
            strategy_name=type(strategy).__name__,
            task=task.name,
            model=backend.model.name,
            backend=type(backend).__name__,
            n=self.samples,
        )
        decides = {
            "samples": self.samples,
            "temperature": self.temperature,
            "max_tokens": task.max_tokens,
            "seed": SEED,
            "backend": backend.identity(),
        }
        return Arm(self.label, setup, names, decides, keep="tokens")


async def run(
    stage: Stage, backend: Backend, out: Path, watcher: Watcher | None = None
) -> list[Record]:
    """Solve what has not been solved yet.

    Args:
        stage: What to do.
        backend: Decodes.
        out: The stage's folder is made in here.
        watcher: Is told how it goes.

    Returns:
        One record a problem, in the order of the task.

    Raises:
        BackendError: Some problems failed; running the stage again takes them up.
    """
    task = stage.task()
    arm = stage.arm(task, backend)
    with Store(out / stage.label, {stage.label: arm.expected(task)}) as store:
        concurrency = -(-IN_FLIGHT // stage.samples)
        row = await evaluate(task, arm, store=store, concurrency=concurrency, watcher=watcher)
        if row.n_failed:
            raise BackendError(
                f"Stage {stage.label}: {row.n_failed} problems failed.",
                hint="The same command takes them up again.",
            )
        return [store.record(stage.label, problem.id) for problem in task.problems]
