"""Successive halving over a finite set of arms that are judged on the same problems.

Pure bookkeeping: `ask` says which arms get which problems next, `tell` brings what came of them.
All arms begin on a few problems; the best of them, one in `eta`, go on to `eta` times as many,
until one is left. A rung's problems contain those of the rung before, and all its arms have been
judged on all of them, so every comparison is paired.

There are no brackets as in Hyperband: these hedge against early results that point the wrong way,
as those of half-trained networks do. An accuracy on a few problems is unbiased, only noisy, and
the hedge against noise is a longer first rung.
Sources: Karnin, Koren & Somekh 2013, "Almost Optimal Exploration in Multi-Armed Bandits"
(sequential halving); Jamieson & Talwalkar 2016, "Non-stochastic Best Arm Identification and
Hyperparameter Optimization"; Li et al. 2018, "Hyperband". Pairing, and blocks that a budget cuts,
are ours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tts.errors import ConfigError

_DIGITS = 12  # means that differ by rounding alone are tied

Score = float | None
"""Of an arm on a problem, higher is better; None where a fault left nothing to judge."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What is to be judged next.

    Attributes:
        rung: Its number, from 0.
        arms: Those that are left.
        start: Number of the first problem.
        stop: Number behind the last one; every arm is to be judged on all from `start` on.
    """

    rung: int
    arms: tuple[str, ...]
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Rung:
    """A rung that has ended.

    Attributes:
        problems: How many had been asked of every arm of it, those of earlier rungs included.
        judged: Of these, on how many every arm was judged; the means are over them.
        means: By arm, in the order in which they were given.
        kept: Arms that go on, the best first.
        tokens: What all arms together have cost since the beginning.
    """

    problems: int
    judged: int
    means: Mapping[str, float]
    kept: tuple[str, ...]
    tokens: int


def plan(arms: int, problems: int, eta: int, first: int) -> list[tuple[int, int]]:
    """How many arms every rung has, and how many problems; the last rung has all problems.

    Args:
        arms: At the beginning, at least 1.
        problems: At most, at least 1.
        eta: One in so many arms goes on, at least 2.
        first: Problems of the first rung at least, where there are as many.

    Raises:
        ConfigError: An argument is out of range.
    """
    for name, value, least in (("pilot", problems, 1), ("eta", eta, 2), ("first", first, 1)):
        if value < least:
            raise ConfigError(f"{name} is {value}; it must be at least {least}.")
    rungs = 1
    while math.ceil(arms / eta**rungs) > 1 and math.ceil(problems / eta**rungs) >= first:
        rungs += 1
    return [
        (math.ceil(arms / eta**rung), math.ceil(problems / eta ** (rungs - 1 - rung)))
        for rung in range(rungs)
    ]


class Halving:
    """Successive halving.

    Of arms with equal means the one that was given first goes on: the present setting, given first,
    is not changed for nothing. The order of problems should say nothing of them: they are
    used from the front.

    With a budget each rung may spend an equal share of what is left. It is asked for in blocks that
    fit the share even if every problem costs its `cap`; a rung whose share affords no further block
    ends with what there is. So the budget holds whatever the problems turn out to cost, as long
    as none costs more than the cap.

    Args:
        arms: Their names, at least one, all different.
        problems: Most problems of an arm, at least 1.
        eta: One in so many arms goes on, at least 2.
        first: Problems of the first rung at least, where there are as many.
        budget: Most tokens of all arms together; None for no limit.
        cap: Most tokens of one arm on one problem, at least 1; counts with a budget alone.

    Attributes:
        plan: By rung, arms and problems, as far as the budget lets it.
        rungs: Those that have ended.
        tokens: What has been spent.

    Raises:
        ConfigError: An argument is out of range, or the budget pays for no first block.
    """

    def __init__(
        self,
        arms: Sequence[str],
        problems: int,
        *,
        eta: int = 3,
        first: int = 16,
        budget: int | None = None,
        cap: int = 1,
    ) -> None:
        if not arms or len(set(arms)) < len(arms):
            raise ConfigError("arms: there must be one at least, and no two of the same name.")
        self.plan = plan(len(arms), problems, eta, first)
        self.rungs: list[Rung] = []
        self.tokens = 0
        self._order = tuple(arms)
        self._left = self._order
        self._budget, self._cap = budget, cap
        self._scores: dict[str, list[Score]] = {arm: [] for arm in arms}
        self._asked: Ask | None = None
        self._begin()
        if budget is not None and len(arms) > 1 and not self._affordable():
            raise ConfigError(
                f"tokens is {budget:,}, and a first look at {len(arms)} arms may take"
                f" {len(arms) * cap * len(self.plan):,}.",
                hint="Raise it, or try fewer arms.",
            )

    @property
    def winner(self) -> str | None:
        """The arm that is left; None as long as there are several."""
        return self._left[0] if len(self._left) == 1 else None

    def ask(self) -> Ask | None:
        """What is to be judged next; None if one arm is left.

        Asking again before anything is told gives the same.
        """
        if self._asked is None and self.winner is None:
            there = self._judged
            stop = min(self.plan[len(self.rungs)][1], there + self._affordable())
            self._asked = Ask(len(self.rungs), self._left, there, stop)
        return self._asked

    def tell(self, scores: Mapping[str, Sequence[Score]], tokens: Mapping[str, int]) -> None:
        """Take what came of the last `ask`.

        Args:
            scores: By arm, of each problem asked for, in their order.
            tokens: By arm, what these have cost.

        Raises:
            ValueError: It is not what was asked for, or no problem was judged for all arms.
        """
        asked = self._asked
        if asked is None or set(scores) != set(asked.arms) or set(tokens) != set(asked.arms):
            raise ValueError("what is told is not what was asked for")
        if any(len(found) != asked.stop - asked.start for found in scores.values()):
            raise ValueError("what is told is not what was asked for")
        for arm in asked.arms:
            self._scores[arm] += scores[arm]
        self.tokens += sum(tokens.values())
        self._asked = None
        # A share that affords no further block ends the rung, and perhaps the next one too.
        while self.winner is None and (self._judged >= self._target or not self._affordable()):
            self._end()

    @property
    def _judged(self) -> int:
        """Problems that all arms that are left have been asked."""
        return len(self._scores[self._left[0]])

    @property
    def _target(self) -> int:
        return self.plan[len(self.rungs)][1]

    def _begin(self) -> None:
        """A rung begins: its share of what is left."""
        if self._budget is not None and len(self.rungs) < len(self.plan):
            share = (self._budget - self.tokens) // (len(self.plan) - len(self.rungs))
            self._limit = self.tokens + share

    def _affordable(self) -> int:
        """Problems that the rung's share surely pays for, for each arm that is left."""
        if self._budget is None:
            return self._target
        return max(0, self._limit - self.tokens) // (len(self._left) * self._cap)

    def _end(self) -> None:
        """A rung ends: the best go on."""
        rows = zip(*(self._scores[arm] for arm in self._left), strict=True)
        whole = [row for row in rows if None not in row]
        if not whole:
            raise ValueError("no problem was judged for all arms")
        columns = zip(*whole, strict=True)
        means = {
            arm: math.fsum(score for score in column if score is not None) / len(whole)
            for arm, column in zip(self._left, columns, strict=True)
        }
        ranked = sorted(
            self._left, key=lambda arm: (-round(means[arm], _DIGITS), self._order.index(arm))
        )
        number = len(self.rungs) + 1
        keep = self.plan[number][0] if number < len(self.plan) else 1
        kept = tuple(ranked[:keep])
        self.rungs.append(Rung(self._judged, len(whole), means, kept, self.tokens))
        self._left = tuple(arm for arm in self._order if arm in kept)
        self._begin()
