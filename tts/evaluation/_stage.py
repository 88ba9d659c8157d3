"""A rehearsal of one arm: everything that would cost something is exchanged for a stand-in.

Strategy, controller, budget and prompts are the real ones. Who stands in for the backend is given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, fields, replace
from typing import Protocol

from tts.budget.allocation import SharesPot
from tts.budget.fixed import Fixed
from tts.evaluation._bills import RehearsedVerifier
from tts.protocols import Backend
from tts.solve import Setup, solve_all
from tts.types import Problem, Usage

Length = Callable[[Problem, int], int | None]
"""Tokens of a whole answer to a problem, by a seed; None for one that fills every cap."""

Saying = Callable[[Problem, int], str]
"""What an answer says in the end, by a seed; empty if nothing."""

STEP = 32
"""Tokens that a step is assumed to have, where a strategy works in steps."""

_CONCURRENCY = 32
_SAID = re.compile(r"Answer (\S+)$")


class RehearsedBackend(Backend, Protocol):
    """A backend that stands in for another one."""

    @property
    def stepped(self) -> bool:
        """Whether any request had stop strings."""
        ...


class Rehearse(Protocol):
    """Makes such a backend; see `tts.backends.rehearsal.Rehearsal`."""

    def __call__(
        self, inner: Backend, length: Length, saying: Saying, *, step: int | None, cached: float
    ) -> RehearsedBackend:
        """Make one."""
        ...


@dataclass(frozen=True)
class Scene:
    """How the model behaves in a rehearsal.

    Attributes:
        length: How long answers are.
        saying: What they say.
        step: Tokens after which a stop string is met; None for never.
        cached: Part of the prompt tokens that come from the prefix cache, 0 to 1.
        verifier_tokens: What a judgement costs, in verifier tokens; its bound if None.
    """

    length: Length
    saying: Saying
    step: int | None = None
    cached: float = 0.0
    verifier_tokens: float | None = None


class Stage:
    """An arm's parts and problems, on which scenes are played.

    Args:
        setup: How problems are solved; its backends and its verifier are neither started nor asked.
        rehearse: Makes the backends that stand in for them.
        problems: With different ids.

    Attributes:
        problems: As given.
        stepped: Whether the strategy works in steps, by the scenes that were played.
    """

    def __init__(self, setup: Setup, rehearse: Rehearse, problems: Sequence[Problem]) -> None:
        self._setup, self._rehearse = setup, rehearse
        self.problems = problems
        self.stepped = False

    async def most(self, known: Mapping[str, Usage]) -> dict[str, Usage]:
        """The most that each problem may cost, component by component.

        Answers to their caps make the most tokens; the shortest ones, under a limit on something
        else, the most requests. What ends a search early, agreement, is left out of both; what
        goes on only with an answer gets different ones.

        Args:
            known: What a scene that may happen has cost, by problem.
        """
        scenes = [Scene(_endless, silent), Scene(_endless, _different), Scene(_at_once, silent)]
        if self.stepped:
            scenes += [Scene(_endless, silent, STEP), Scene(_endless, _different, STEP)]
        most = dict(known)
        for scene in scenes:
            most = {id: larger(most[id], cost) for id, cost in (await self.play(scene)).items()}
        return most

    async def play(self, scene: Scene) -> dict[str, Usage]:
        """Solve the problems in a scene.

        Returns:
            What each has cost, by its id.

        Raises:
            TTSError: The strategy cannot work on rehearsed answers.
        """
        setup, policy = self._staged(scene)
        options = {f.name: getattr(setup, f.name) for f in fields(setup)}
        found: dict[str, Usage] = {}
        async with aclosing(
            solve_all(self.problems, concurrency=_CONCURRENCY, **options)
        ) as results:
            async for result in results:
                if result.error is not None:
                    raise result.error
                found[result.problem_id] = replace(result.usage, seconds=0.0)
        self.stepped = self.stepped or policy.stepped
        return found

    def _staged(self, scene: Scene) -> tuple[Setup, RehearsedBackend]:
        """The arm with its stand-ins, and the one of the policy."""
        real = self._setup
        policy = self._cast(real.backend, scene)
        verifier = real.verifier and RehearsedVerifier(real.verifier, policy, scene.verifier_tokens)
        setup = replace(
            real,
            # The budget of all problems together is no part of a rehearsal.
            controller=Fixed() if isinstance(real.controller, SharesPot) else real.controller,
            backend=policy,
            verifier=verifier,
            verifier_backend=real.verifier_backend and self._cast(real.verifier_backend, scene),
            draft=real.draft and self._cast(real.draft, scene),
            # The rehearsal's own seconds mean nothing.
            budget=real.budget and real.budget.model_copy(update={"seconds": None}),
            answers=_Answers(real.answers.landing),
            on_event=None,
        )
        return setup, policy

    def _cast(self, backend: Backend, scene: Scene) -> RehearsedBackend:
        return self._rehearse(
            backend, scene.length, scene.saying, step=scene.step, cached=scene.cached
        )


@dataclass(frozen=True)
class _Answers:
    """How rehearsed answers are written."""

    landing: str

    def extract(self, text: str) -> str | None:
        """What was to be said, if it was."""
        match = _SAID.search(text)
        return match and match[1]

    async def key(self, answer: str) -> str:
        """The answer itself."""
        return answer


def say(answer: int) -> str:
    """An answer as `Saying` gives it."""
    return f"Answer {answer}"


def silent(problem: Problem, seed: int) -> str:
    """No answer at all."""
    return ""


def larger(a: Usage, b: Usage) -> Usage:
    """The larger of each component."""
    other = b.as_dict()
    return Usage(**{k: max(v, other[k]) for k, v in a.as_dict().items()})  # type: ignore[arg-type]


def _different(problem: Problem, seed: int) -> str:
    return say(seed)


def _endless(problem: Problem, seed: int) -> int | None:
    return None


def _at_once(problem: Problem, seed: int) -> int | None:
    return 1
