"""The contract of controllers."""

from __future__ import annotations

import random
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from types import MappingProxyType

from tts.budget.pot import Budget
from tts.budget.replay import replay
from tts.errors import BudgetExhausted
from tts.protocols import Controller, Env
from tts.solve import solve_all
from tts.testing.promises import require
from tts.testing.worlds import PROBLEMS, LengthVerifier, World
from tts.types import (
    Answer,
    Candidate,
    Capability,
    Evidence,
    Grant,
    Problem,
    ProblemId,
    Result,
    Score,
    Stop,
    Trajectory,
    Usage,
)

_CAP = 60  # tokens of one answer


async def check_controller(controller: Controller, *, cases: int = 50) -> None:
    """Check a controller against the promises of `tts.protocols.Controller`.

    It must be pure, decide on none but those that ask and within their wants, say why, and leave
    nobody waiting for ever. In simulated runs with a pot for all problems together it must stay
    within the pot, leave to others what it does not grant, and take the same decisions again when
    they are replayed from the log. All samples have scores, and the pot shows the crowd that
    shares it.

    Args:
        controller: To be checked.
        cases: Random cases of evidence, at least 1.

    Raises:
        ContractError: A promise is broken; the message says which.
    """
    rng = random.Random(0)
    for _ in range(cases):
        _check_decisions(controller, _evidence(rng), _evidence(rng))
    for seed, tokens in enumerate((40, 200, 900, 100_000)):
        await _check_run(controller, tokens, World(seed))


@dataclass(frozen=True)
class _View:
    """A pot with plenty in it, and those who share it."""

    present: int
    coming: int = 0
    spent: Usage = Usage()

    def remaining(self, limit: str) -> float:
        """Plenty of tokens; nothing else is limited."""
        return 100_000.0 if limit == "completion_tokens" else float("inf")


def _evidence(rng: random.Random) -> dict[ProblemId, Evidence]:
    names = [f"p{number}" for number in range(rng.randint(1, 6))]
    return {name: _shown(rng) for name in names}


def _shown(rng: random.Random) -> Evidence:
    letters = "abcdefgh"[: rng.randint(1, 8)]
    drawn = rng.randint(0, 20)
    candidates = tuple(_candidate(rng, letters) for _ in range(drawn))
    return Evidence(candidates, rng.randint(1, 9), Usage(calls=drawn, completion_tokens=30 * drawn))


def _candidate(rng: random.Random, letters: str) -> Candidate:
    node = Trajectory.root().scored(Score(rng.random(), "probability"))
    key = rng.choice([None, *letters])
    return Candidate(node, None if key is None else Answer(key, key))


def _check_decisions(
    controller: Controller, one: Mapping[ProblemId, Evidence], two: Mapping[ProblemId, Evidence]
) -> None:
    decisions = _decided(controller, one)
    _decided(controller, two)
    require(
        _decided(controller, one) == decisions, "It is pure: the same evidence, the same decisions."
    )
    asked = [decision.problem_id for decision in decisions]
    require(set(asked) <= set(one), "It decides on none but those that ask.")
    require(len(set(asked)) == len(asked), "It decides once on each.")
    for decision in decisions:
        require(bool(decision.reason), "Every decision has a reason.")
        if isinstance(decision, Grant):
            wants = one[decision.problem_id].wants
            require(1 <= decision.samples <= wants, "A grant is of 1 to `wants` samples.")
    first = next(iter(one))
    alone = _decided(controller, {first: one[first]})
    require(len(alone) == 1, "A problem that is alone is decided on: nobody else will ever ask.")


def _decided(controller: Controller, evidence: Mapping[ProblemId, Evidence]) -> list[Grant | Stop]:
    return controller.decide(MappingProxyType(dict(evidence)), _View(len(evidence)))


async def _check_run(controller: Controller, tokens: int, world: World) -> None:
    backend = world.backend()
    run = solve_all(
        PROBLEMS,
        strategy=_Sampler(),
        backend=backend,
        verifier=LengthVerifier(),
        controller=controller,
        total_budget=Budget(completion_tokens=tokens),
        max_tokens=_CAP,
    )
    async with aclosing(run) as arriving:
        results = [result async for result in arriving]
    for result in results:
        if result.error is not None:
            raise result.error
    spent = sum(result.usage.completion_tokens for result in results)
    require(spent == backend.generated <= tokens, "It spends no more than the pot holds.")
    if any(result.limit for result in results):
        require(
            tokens - spent < _CAP,
            "What one does not use is there for the others: none goes without while there is some.",
        )
    taken = [decision for result in results for decision in result.decisions]
    differences = replay(controller, taken)
    require(
        not differences,
        f"Decisions can be taken again from the log: {next(iter(differences), '')}.",
    )


@dataclass(frozen=True)
class _Sampler:
    """Draws and judges as many answers as it is granted, one after the other."""

    n: int = 12
    requires: frozenset[Capability] = frozenset({Capability.VERIFIER})

    async def __call__(self, problem: Problem, env: Env) -> Result:
        """Draw until the controller says no."""
        drawn: list[Candidate] = []
        while len(drawn) < self.n and (
            granted := await env.more(tuple(drawn), self.n - len(drawn))
        ):
            for _ in range(granted):
                try:
                    drawn.append(await self._one(len(drawn), env))
                except BudgetExhausted:
                    return Result(problem.id, None, tuple(drawn))
        return Result(problem.id, None, tuple(drawn))

    async def _one(self, number: int, env: Env) -> Candidate:
        root = Trajectory.root()
        async with env.reserve(root) as inner:
            async with inner.backend.open(inner.request(root, number)) as stream:
                async for _ in stream:
                    pass
            (judged,) = await inner.score([stream.trajectory])
        return await env.candidate(judged)
