"""Allocation: one pot over many problems, to whom one more sample is worth most.

Every problem gets a few samples first. Then problems wait at the desk until all that are being
solved are there, and in rounds, each of a part of what is left, the next samples go to those whose
gain for their cost is the largest (`tts.budget._gain`); the others wait, which is pausing. So the
result depends on what was drawn, and not on what came first. Those to whom a sample is worth less
than `least` are stopped, and what they do not use is there for the others.

Where not all problems can be at the desk at once (concurrency below their number), those that are
there share what the whole batch leaves to them: what is left and what they have spent, divided
evenly by heads over them and those that are to come. When that is used up, the half to whom samples
are worth least is stopped and makes room. So it is exact only with as many in flight as there are
problems, and a paused problem costs no more than its place. Where nobody knows how many are to come
(problems from an asynchronous source), those at the desk are taken for all.

It does not hold the budget, which is the pot's work: it plans by what samples have cost so far.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, get_args, runtime_checkable

from tts.budget._gain import Scores, Urns, gain_of_vote
from tts.budget.pot import LEASED, cost_of
from tts.errors import ConfigError
from tts.protocols import PotView
from tts.types import Evidence, Grant, ProblemId, Score, Stop

Signal = Literal["votes", "scores"]

_PLENTY = 1 << 40  # samples that cost nothing


@runtime_checkable
class Crowd(PotView, Protocol):
    """What a controller may know of a budget, and of all the problems that share it."""

    @property
    def present(self) -> int:
        """Problems that are being solved, those that ask among them."""
        ...

    @property
    def coming(self) -> int | None:
        """Problems that have not begun; None if nobody knows."""
        ...


@runtime_checkable
class SharesPot(Protocol):
    """A controller that divides one pot among many problems, and can do nothing without it."""

    @property
    def shares_pot(self) -> bool:
        """That it does."""
        ...


def nothing_to_share() -> ConfigError:
    """What there is to say where all problems have pots of their own, or no limit."""
    return ConfigError(
        "The controller divides one budget among all problems, and there is none.",
        hint="Set a limit of total_budget, such as total_budget.completion_tokens=2M.",
    )


@dataclass(frozen=True)
class Allocation:
    """Give the next samples to the problems to which they are worth most.

    Args:
        first: Samples that every problem gets before it is compared with others, at least 1.
        batch: Most samples of a problem in one round, at least 1.
        signal: What tells the gain: `votes`, for strategies that vote; `scores`, for those that
            take what the verifier likes best.
        share: Part of what is left that one round may grant, above 0 and at most 1. Small parts
            make many rounds, each of which waits for its slowest sample, and follow the evidence
            more closely.
        least: Gain (right answers a sample, or units of the score) below which a problem is
            stopped, at least 0.
    """

    first: int = 3
    batch: int = 2
    signal: Signal = "votes"
    share: float = 0.2
    least: float = 0.0
    shares_pot: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("first", "batch"):
            if (value := getattr(self, name)) < 1:
                raise ConfigError(f"controller.{name} is {value}; it must be at least 1.")
        if self.signal not in get_args(Signal):
            raise ConfigError(
                f"controller.signal is {self.signal!r}.", hint=f"Take one of {get_args(Signal)}."
            )
        if not 0 < self.share <= 1:
            raise ConfigError(f"controller.share is {self.share:g}; it must lie in (0, 1].")
        if not 0 <= self.least < math.inf:
            raise ConfigError(f"controller.least is {self.least:g}; it must be at least 0.")

    def decide(self, evidence: Mapping[ProblemId, Evidence], pot: PotView) -> list[Grant | Stop]:
        """Serve newcomers at once, and the others in rounds when all of them are there.

        Raises:
            ConfigError: There is no pot that the problems share, or the strategy has no scores.
        """
        crowd = self._checked(pot)
        fresh = [(name, e) for name, e in evidence.items() if not e.usage.calls]
        if fresh:
            reason = f"the first {self.first} samples, which every problem gets"
            return [Grant(name, min(self.first, e.wants), reason) for name, e in fresh]
        if len(evidence) < crowd.present:
            return []
        return self._round(evidence, crowd)

    def _checked(self, pot: PotView) -> Crowd:
        """The pot, if there is one to be shared."""
        if not isinstance(pot, Crowd) or all(math.isinf(pot.remaining(n)) for n in LEASED):
            raise nothing_to_share()
        return pot

    def _round(self, evidence: Mapping[ProblemId, Evidence], crowd: Crowd) -> list[Grant | Stop]:
        """Decide for all problems of a full desk."""
        purse = _Purse.of(self, list(evidence.values()), crowd)
        gains = dict(zip(evidence, self._gains(list(evidence.values())), strict=True))
        hopeless = [name for name, gain in gains.items() if gain < self.least]
        stops: list[Grant | Stop] = [
            Stop(name, f"a sample adds {gains[name]:.2g}, less than {self.least:g}")
            for name in hopeless
        ]
        ranked = sorted(
            (name for name in gains if gains[name] >= self.least),
            key=lambda name: (-gains[name] / purse.price(evidence[name]), name),
        )
        if purse.left < 1:
            return [*stops, *self._dismissed(ranked, gains, crowd)]
        return [*stops, *self._grants(ranked, gains, evidence, purse)]

    def _grants(
        self,
        ranked: Sequence[ProblemId],
        gains: Mapping[ProblemId, float],
        evidence: Mapping[ProblemId, Evidence],
        purse: _Purse,
    ) -> list[Grant | Stop]:
        """A round's samples, to the first of the ranking."""
        room = min(purse.left, max(self.batch, math.floor(purse.left * self.share)))
        grants: list[Grant | Stop] = []
        for place, name in enumerate(ranked, 1):
            samples = min(self.batch, evidence[name].wants, room)
            if not samples:
                break
            room -= samples
            reason = (
                f"a sample adds {gains[name]:.2g}, place {place} of {len(ranked)};"
                f" {purse.left} samples are left for these problems"
            )
            grants.append(Grant(name, samples, reason))
        return grants

    def _dismissed(
        self, ranked: Sequence[ProblemId], gains: Mapping[ProblemId, float], crowd: Crowd
    ) -> list[Grant | Stop]:
        """Who ends when nothing is left: all, or the worse half if others are to come."""
        kept = len(ranked) // 2 if crowd.coming else 0
        why = "makes room for others" if crowd.coming else "the pot is used up"
        return [
            Stop(name, f"{why}; a sample would add {gains[name]:.2g}") for name in ranked[kept:]
        ]

    def _gains(self, problems: Sequence[Evidence]) -> list[float]:
        return _gains_of_votes(problems) if self.signal == "votes" else _gains_of_scores(problems)


@dataclass(frozen=True)
class _Purse:
    """What the problems at the desk may still spend.

    Attributes:
        limit: In what it is counted.
        left: Samples that it pays at the mean price.
        mean: Mean price of a sample.
    """

    limit: str
    left: int
    mean: float

    @classmethod
    def of(cls, how: Allocation, problems: Sequence[Evidence], crowd: Crowd) -> _Purse:
        """The scarcest of all that is limited."""
        limited = [limit for limit in LEASED if math.isfinite(crowd.remaining(limit))]
        found = [cls._fair(how, limit, problems, crowd) for limit in limited]
        return min(found, key=lambda purse: purse.left)

    @classmethod
    def _fair(
        cls, how: Allocation, limit: str, problems: Sequence[Evidence], crowd: Crowd
    ) -> _Purse:
        """The part of those at the desk, and what it pays."""
        rest, coming = crowd.remaining(limit), crowd.coming or 0
        spent = sum(cost_of(e.usage, limit) for e in problems)
        mean = spent / sum(_samples(e) for e in problems)
        if mean <= 0:
            return cls(limit, _PLENTY, 0.0)
        fair = (rest + spent) * len(problems) / (len(problems) + coming) - spent
        most = min(fair, rest - coming * how.first * mean)
        return cls(limit, max(0, math.floor(most / mean + 1e-9)), mean)

    def price(self, evidence: Evidence) -> float:
        """What a sample of a problem costs, as far as is known; one sample's worth of the mean."""
        spent = cost_of(evidence.usage, self.limit)
        return max((spent + self.mean) / (_samples(evidence) + 1), 1e-300)


def _samples(evidence: Evidence) -> int:
    return max(1, len(evidence.candidates))


def _gains_of_votes(problems: Sequence[Evidence]) -> list[float]:
    counts = [Counter(c.answer.key for c in e.candidates if c.answer) for e in problems]
    seen = [(votes.total(), len(votes)) for votes in counts]
    urns = Urns.fitted(seen)
    concentrations = {pair: urns.concentration(*pair) for pair in set(seen)}
    return [
        gain_of_vote(
            tuple(sorted(votes.values(), reverse=True)),
            len(e.candidates) - votes.total(),
            concentrations[pair],
        )
        for e, votes, pair in zip(problems, counts, seen, strict=True)
    ]


def _gains_of_scores(problems: Sequence[Evidence]) -> list[float]:
    scores = [[_score(c.score) for c in e.candidates] for e in problems]
    known = [each for each in scores if each]
    if not known:
        return [0.0] * len(problems)
    first = known[0][0]
    bounded = first.scale != "reward"
    values = [[s.probability if bounded else s.raw for s in each] for each in scores]
    spread = Scores.fitted([each for each in values if each], bounded=bounded)
    return [spread.gain(each) if each else math.inf for each in values]


def _score(score: Score | None) -> Score:
    if score is None:
        raise ConfigError(
            "controller.signal is 'scores', and the strategy's samples have none.",
            hint="Take strategy=best_of_n, or controller.signal=votes.",
        )
    return score
