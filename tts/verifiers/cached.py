"""A verifier that says nothing twice: what it has judged is remembered, in a file if one is named.

What is remembered is charged as it was charged the first time, like a hit of the replay cache: so
budgets, controllers and curves of a run from the cache are those of the first run. A judgement is
known by everything that could have decided it: the verifier's identity, the model it may ask, the
random stream of the problem (thus the run's seed), the problem, and every piece of the answer with
its tokens and log-probabilities.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tts.errors import CapabilityMissing
from tts.protocols import Verifier, VerifierContext
from tts.types import Problem, Score, Trajectory, Usage
from tts.verifiers._composite import Composite, check_part
from tts.verifiers._prm.together import together
from tts.verifiers._recording import Recording
from tts.verifiers._verdicts import Verdict, Verdicts


class Cached(Composite):
    """Remembers another verifier's scores: within a problem, and in a file beyond it.

    Every answer is judged by itself, side by side, so that the cost of each is known. A verifier
    whose cost depends on what it read before (a prefix cache) is charged for an answer as it was
    when that one was judged first.

    Args:
        verifier: Gives the scores.
        path: File that keeps them for other runs (`*.sqlite`); None for none.

    Raises:
        ConfigError: The field is no verifier.
    """

    def __init__(self, verifier: Verifier, path: str | Path | None = None) -> None:
        check_part("verifier", verifier)
        self.verifier = verifier
        self.path = None if path is None else Path(path).expanduser()
        self._file: Verdicts | None = None

    @property
    def inner(self) -> Mapping[str, Verifier]:
        """The verifier that gives the scores."""
        return {"verifier": self.verifier}

    def identity(self) -> Mapping[str, Any]:
        """That of the verifier that gives the scores: remembering changes none."""
        return self.verifier.identity()

    async def start(self) -> None:
        """Open the file, and start the verifier; safe to call again.

        Raises:
            ConfigError: The file cannot be used.
        """
        self._opened()
        await super().start()

    async def aclose(self) -> None:
        """Close the file, and the verifier; safe to call again."""
        if self._file is not None:
            self._file.close()
            self._file = None
        await super().aclose()

    async def score(
        self, problem: Problem, trajectories: Sequence[Trajectory], ctx: VerifierContext
    ) -> list[Score]:
        """One score a trajectory, on the verifier's own scale.

        Raises:
            BudgetExhausted: The budget cannot pay for all of them, remembered or not.
            ConfigError: The file cannot be used.
            TTSError: The verifier failed.
        """
        about = self._about(problem, ctx)
        return await together([self._one(problem, node, about, ctx) for node in trajectories])

    async def _one(
        self, problem: Problem, trajectory: Trajectory, about: bytes, ctx: VerifierContext
    ) -> Score:
        key = _key(about, trajectory)
        known: Verdict | None = ctx.memory.get((Cached, key)) or self._kept(key)
        if known is None:
            recording = Recording(ctx)
            (score,) = await self.verifier.score(problem, [trajectory], recording)
            known = Verdict(score, recording.paid)
            self._keep(key, known)
        elif known.cost != Usage():
            async with ctx.work(known.cost):
                pass  # charged at the bound, which is the cost
        ctx.memory[(Cached, key)] = known
        return known.score

    def _about(self, problem: Problem, ctx: VerifierContext) -> bytes:
        """All that decides a judgement beside the answer itself."""
        try:
            asked: Mapping[str, Any] | None = ctx.backend.identity()
        except CapabilityMissing:  # rescoring: there is no model to ask
            asked = None
        chance = ctx.rng("cached").getrandbits(64)
        turns = [(turn.role, turn.content) for turn in problem.messages]
        question = [problem.id, problem.prompt, turns, dict(problem.metadata)]
        content = [dict(self.verifier.identity()), asked, chance, question]
        return json.dumps(content, sort_keys=True, default=repr).encode()

    def _kept(self, key: bytes) -> Verdict | None:
        file = self._opened()
        return file.get(key) if file else None

    def _keep(self, key: bytes, verdict: Verdict) -> None:
        file = self._opened()
        if file:
            file.put(key, verdict)

    def _opened(self) -> Verdicts | None:
        if self._file is None and self.path is not None:
            self._file = Verdicts(self.path)
        return self._file


def _key(about: bytes, trajectory: Trajectory) -> bytes:
    digest = hashlib.blake2b(about, digest_size=16)
    digest.update(repr((trajectory.finish, trajectory.segments())).encode())
    return digest.digest()
