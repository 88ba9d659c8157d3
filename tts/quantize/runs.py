"""Runs that are kept in the user's cache: what a model was asked once is not asked again.

The full model is measured once for all schemes. A run is filed under all that decides it (weights,
numerics, sampling, problems), so a measurement that was stopped goes on, and one that is there
needs no engine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tts.errors import TTSError
from tts.evaluation import Arm, Names, Outcome, Store, Watcher, evaluate
from tts.evaluation.records import Key
from tts.evaluation.store import Trees, write_atomically
from tts.quantize.readings import Answers, Reader, Reading, as_json, from_json, read_all
from tts.solve import Setup
from tts.strategies import SelfConsistency
from tts.tasks import Item, ItemTask, Task
from tts.types import Problem, Sampling

_READINGS = "readings.json"


@dataclass(frozen=True)
class Runs:
    """Where runs are kept, and how they go.

    Attributes:
        folder: In the user's cache.
        concurrency: Most problems in flight, at least 1.
        watcher: Is told how it goes.
    """

    folder: Path
    concurrency: int = 64
    watcher: Watcher | None = None

    async def outcomes(self, task: Task, arm: Arm) -> list[Outcome]:
        """What comes of each problem of a task.

        Raises:
            TTSError: A fault ended the run; what had ended before is kept.
        """
        with self._store(task, arm) as store:
            await self._run(task, arm, store)
            return store.outcomes(arm.label)

    async def answers(
        self, label: str, problems: Sequence[Problem], setup: Setup, sampling: Sampling
    ) -> Answers:
        """One answer of the model to each problem, but for those that failed.

        Args:
            label: What they are for.
            problems: With different ids.
            setup: Whose backend answers, with its seed and cap of tokens.
            sampling: How tokens are drawn.

        Raises:
            TTSError: A fault ended the run, or nothing was answered.
        """
        drawn = Setup(
            SelfConsistency(n=1),
            setup.backend,
            answers=setup.answers,
            sampling=sampling,
            max_tokens=setup.max_tokens,
            seed=setup.seed,
        )
        task = ItemTask(label, [Item(problem) for problem in problems])
        arm = _drawing(label, drawn)
        with self._store(task, arm) as store:
            await self._run(task, arm, store)
            configuration, done = store.configuration(label), store.done(label)
            trees = Trees(store.folder)
        found = []
        for problem in problems:
            if (problem.id, 0) in done:
                answer = trees[Key(configuration, problem.id, 0)].trajectories()[0]
                found += [(problem, answer)] if answer.text else []
        if not found:
            raise TTSError(f"The model has answered no problem of {label}.")
        return found

    async def readings(self, backend: Reader, answers: Answers) -> list[Reading]:
        """What a model thinks of answers; it is started if it must be.

        Raises:
            TTSError: A fault ended it.
        """
        said = [[problem.name, answer.text] for problem, answer in answers]
        folder = self.folder / _digest([dict(backend.identity()), said])
        kept = folder / _READINGS
        if kept.is_file():
            return from_json(json.loads(kept.read_text()))
        found = await read_all(backend, answers, self.concurrency)
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(kept, json.dumps(as_json(found)))
        return found

    async def _run(self, task: Task, arm: Arm, store: Store) -> None:
        await evaluate(task, arm, store=store, concurrency=self.concurrency, watcher=self.watcher)

    @contextmanager
    def _store(self, task: Task, arm: Arm) -> Iterator[Store]:
        """The open records of a run; who else wants them waits."""
        from filelock import FileLock

        expected = arm.expected(task)
        folder = self.folder / _digest([expected.configuration, task.digest])
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"), Store(folder, {arm.label: expected}) as store:
            yield store


def _drawing(label: str, setup: Setup) -> Arm:
    """An arm that draws one answer to each problem, and grades none."""
    model = setup.backend.model.name
    return Arm(
        label,
        setup,
        Names(strategy_name="sample", task=label, model=model, backend="vllm"),
        {
            "backend": setup.backend.identity(),
            "sampling": asdict(setup.sampling),
            "max_tokens": setup.max_tokens,
            "seed": setup.seed,
        },
        keep="tokens",
        open_ended=True,
    )


def _digest(what: object) -> str:
    text = json.dumps(what, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()
