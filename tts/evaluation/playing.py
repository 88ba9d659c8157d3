"""Plays a controller on pools of answers that are there already: no backend, no time, no luck.

All problems that are in flight ask at once, the controller decides, and each takes the next answers
of its pool, until the pot is spent or nobody wants more. Knows neither strategies nor texts. What
it leaves out is the order in which answers arrive: every round is a barrier.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tts.errors import ConfigError
from tts.evaluation.estimators import Pool
from tts.protocols import Controller
from tts.types import (
    Answer,
    Candidate,
    Evidence,
    Grant,
    ProblemId,
    Score,
    Trajectory,
    Usage,
)

Choice = Literal["majority", "best"]


@dataclass(frozen=True)
class Played:
    """What a controller has made of pools.

    Attributes:
        drawn: Samples by problem.
        right: By problem the chance that the choice among them is right; ties are shared.
        spent: Samples of all problems, or what they cost if costs were given.
        rounds: How often the controller decided.
    """

    drawn: Mapping[ProblemId, int]
    right: Mapping[ProblemId, float]
    spent: float
    rounds: int

    @property
    def accuracy(self) -> float:
        """Mean over problems of the chance to be right, 0 to 1."""
        return sum(self.right.values()) / len(self.right)


def play(
    controller: Controller,
    pools: Mapping[ProblemId, Pool],
    total: float | None = None,
    *,
    n: int | None = None,
    concurrency: int | None = None,
    costs: Mapping[ProblemId, Sequence[int]] | None = None,
    choice: Choice = "majority",
) -> Played:
    """Let a controller decide how many answers of its pool each problem gets.

    Args:
        controller: Decides.
        pools: By problem; answers are drawn in their order.
        total: Samples that all problems together may take, or tokens if `costs` are given; None for
            as many as the controller grants. It is never passed: a sample that does not fit ends
            its problem.
        n: Most samples a problem; None for all of its pool.
        concurrency: Most problems in flight; None for all.
        costs: Tokens of each sample of each pool.
        choice: What is chosen of the samples: the majority, or the best score.

    Raises:
        ConfigError: A number is below 1, there is no pool, or a grant is none.
    """
    for name, value in (("total", total), ("n", n), ("concurrency", concurrency)):
        if value is not None and value < 1:
            raise ConfigError(f"{name} is {value}; it must be at least 1.")
    if not pools:
        raise ConfigError("pools: there is no problem to play.")
    game = _Game(
        [_Player.of(name, pool, n, (costs or {}).get(name)) for name, pool in pools.items()],
        "completion_tokens" if costs else "calls",
        float("inf") if total is None else total,
        concurrency or len(pools),
    )
    while game.admit():
        game.turn(controller)
    judge = majority_of if choice == "majority" else best_of
    return Played(
        {p.name: p.drawn for p in game.everyone},
        {p.name: judge(pools[p.name], p.drawn) for p in game.everyone},
        game.amount,
        game.rounds,
    )


@dataclass(eq=False)
class _Player:
    """A problem, and how much of its pool has been drawn."""

    name: ProblemId
    candidates: tuple[Candidate, ...]
    costs: Sequence[int]
    drawn: int = 0
    tokens: int = 0

    @classmethod
    def of(cls, name: ProblemId, pool: Pool, n: int | None, costs: Sequence[int] | None) -> _Player:
        """A problem at its start."""
        bounded = all(0 <= score <= 1 for score in pool.scores)
        scores = [Score(s, "probability" if bounded else "reward") for s in pool.scores]
        root = Trajectory.root()
        nodes = [root.scored(s) for s in scores] or [root] * len(pool.keys)
        found = tuple(
            Candidate(node, None if key is None else Answer(key, key))
            for node, key in zip(nodes, pool.keys, strict=True)
        )
        if costs is not None and len(costs) != len(found):
            raise ConfigError(f"costs: {len(costs)} costs for {len(found)} samples of {name!r}.")
        return cls(name, found[:n], costs or [0] * len(found))

    def evidence(self) -> Evidence:
        """What it shows the controller."""
        usage = Usage(completion_tokens=self.tokens, calls=self.drawn)
        return Evidence(self.candidates[: self.drawn], len(self.candidates) - self.drawn, usage)


@dataclass(eq=False)
class _Game:
    """The pot and the desk of a game; what a controller may see of them is a `Crowd`."""

    everyone: Sequence[_Player]
    limit: str
    total: float
    places: int
    rounds: int = 0
    spent: Usage = Usage()
    _here: dict[ProblemId, _Player] = field(default_factory=dict)
    _begun: int = 0

    @property
    def amount(self) -> float:
        """What has been spent of the pot."""
        return float(getattr(self.spent, self.limit))

    @property
    def present(self) -> int:
        """Problems in flight."""
        return len(self._here)

    @property
    def coming(self) -> int:
        """Problems that have not begun."""
        return len(self.everyone) - self._begun

    def remaining(self, limit: str) -> float:
        """What is left of the pot."""
        return self.total - self.amount if limit == self.limit else float("inf")

    def admit(self) -> bool:
        """Let problems take the free places; False if nobody is left."""
        newcomers = self.everyone[self._begun : self._begun + self.places - len(self._here)]
        self._here |= {player.name: player for player in newcomers}
        self._begun += len(newcomers)
        return bool(self._here)

    def turn(self, controller: Controller) -> None:
        """Ask once for all that are here; who gets no decision waits, as at the desk."""
        self.rounds += 1
        waiting = {name: player.evidence() for name, player in self._here.items()}
        decisions = controller.decide(waiting, self)
        for decision in decisions:
            player = self._here[decision.problem_id]
            wants = waiting[decision.problem_id].wants
            if isinstance(decision, Grant) and not 1 <= decision.samples <= wants:
                raise ConfigError(
                    f"{type(controller).__name__} granted {decision.samples} samples to"
                    f" {player.name!r}, which wants {wants}."
                )
            granted = decision.samples if isinstance(decision, Grant) else 0
            if not granted or not self._draw(player, granted):
                del self._here[player.name]
        if not decisions:
            self._here.clear()

    def _draw(self, player: _Player, samples: int) -> bool:
        """Take the next of its pool; False if it has ended by that."""
        for _ in range(samples):
            tokens = player.costs[player.drawn]
            cost = Usage(completion_tokens=tokens, calls=1)
            if getattr(cost, self.limit) > self.remaining(self.limit):
                return False
            self.spent = self.spent + cost
            player.drawn += 1
            player.tokens += tokens
        return player.drawn < len(player.candidates)


def majority_of(pool: Pool, drawn: int) -> float:
    """Chance that the vote of the first samples of a pool is right; ties are shared."""
    votes = Counter(key for key in pool.keys[:drawn] if key is not None)
    if not votes:
        return 0.0
    top = max(votes.values())
    right = {key for key, mark in zip(pool.keys, pool.correct, strict=True) if mark}
    tied = [key for key, count in votes.items() if count == top]
    return sum(key in right for key in tied) / len(tied)


def best_of(pool: Pool, drawn: int) -> float:
    """Chance that the best-scored of the first samples of a pool is right; ties are shared."""
    ranked = [
        (score, mark)
        for score, mark, key in zip(
            pool.scores[:drawn], pool.correct[:drawn], pool.keys[:drawn], strict=True
        )
        if key is not None
    ]
    if not ranked:
        return 0.0
    top = max(score for score, _ in ranked)
    tied = [mark for score, mark in ranked if score == top]
    return sum(tied) / len(tied)
