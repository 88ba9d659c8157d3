"""How a plan chooses among its strategies: by bins of one signal, or by a regression on several.

Pure: knows neither files nor how strategies run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

from tts.errors import ConfigError
from tts.protocols import Strategy
from tts.signals.pilot import Glimpse, Signal, difficulty, features, names_of
from tts.types import Candidate


@dataclass(frozen=True)
class Bin:
    """Problems of like difficulty, and what is done with them.

    Args:
        strategy: Runs on what the pilot has left.
        least: Least value of the pilot's signal; a bin with -inf takes what no other does.
    """

    strategy: Strategy
    least: float = -math.inf


class Rule(Protocol):
    """Chooses a strategy by what a pilot has drawn."""

    @property
    def strategies(self) -> Sequence[Strategy]:
        """What there is to choose from."""
        ...

    def choose(self, samples: Sequence[Glimpse]) -> tuple[int, Mapping[str, Any]]:
        """The place of the strategy, and what is to be told of the choice, of JSON types."""
        ...


@dataclass(frozen=True)
class Bins:
    """By one signal: the first bin whose least value it reaches.

    Args:
        bins: The easiest first, the last one without a `least`.
        signal: As in `tts.signals.pilot.difficulty`.

    Raises:
        ConfigError: The bins leave a problem out, or are in no order.
    """

    bins: Sequence[Bin]
    signal: Signal

    def __post_init__(self) -> None:
        if not self.bins or self.bins[-1].least > -math.inf:
            raise ConfigError(
                "strategy.bins leaves out the most difficult problems.",
                hint="Give the last bin no `least`.",
            )
        for above, below in pairwise(self.bins):
            if not above.least > below.least:
                raise ConfigError(
                    f"strategy.bins: a bin from {below.least:g} follows one from {above.least:g}.",
                    hint="Name the easiest bin first, the one with the largest `least`.",
                )

    @property
    def strategies(self) -> Sequence[Strategy]:
        """Of the bins."""
        return [b.strategy for b in self.bins]

    def choose(self, samples: Sequence[Glimpse]) -> tuple[int, Mapping[str, Any]]:
        """The place of the bin."""
        value = difficulty(samples, self.signal)
        place = next(i for i, b in enumerate(self.bins) if value >= b.least)
        return place, {"difficulty": value, "bin": place}


@dataclass(frozen=True)
class Forecast:
    """What a strategy is expected to come to, given the features of a pilot.

    Args:
        strategy: Runs on what the pilot has left.
        right: Weights of the features, and the offset: the logit of the chance to be right.
        tokens: The same for the logarithm of the completion tokens, the pilot's included.
    """

    strategy: Strategy
    right: Sequence[float]
    tokens: Sequence[float]

    def chance(self, told: Sequence[float]) -> float:
        """To be right, 0 to 1."""
        return 0.5 * (1 + math.tanh(0.5 * _line(self.right, told)))

    def cost(self, told: Sequence[float]) -> float:
        """Completion tokens."""
        return math.exp(min(_line(self.tokens, told), 50.0))


@dataclass(frozen=True)
class Regression:
    """By several signals: the strategy with the best chance to be right, less its price.

    A pilot that could not be drawn, or judged, is followed by the first strategy.

    Args:
        forecasts: Of each strategy, the cheapest first.
        signal: As in `tts.signals.pilot.features`.
        price: Of a completion token, in right answers, at least 0.

    Raises:
        ConfigError: There is no strategy, or the weights are not one a feature and an offset.
    """

    forecasts: Sequence[Forecast]
    signal: Signal
    price: float

    def __post_init__(self) -> None:
        wanted = len(names_of(self.signal)) + 1
        if not self.forecasts:
            raise ConfigError("strategy.plan names no option to choose from.")
        for forecast in self.forecasts:
            for weights in (forecast.right, forecast.tokens):
                if len(weights) != wanted:
                    raise ConfigError(
                        f"strategy.plan has {len(weights)} weights where signal={self.signal} takes"
                        f" {wanted}.",
                        hint="Make it again: tts plan RESULTS --by regression --out FILE.",
                    )

    @property
    def strategies(self) -> Sequence[Strategy]:
        """Of the forecasts."""
        return [forecast.strategy for forecast in self.forecasts]

    def choose(self, samples: Sequence[Glimpse]) -> tuple[int, Mapping[str, Any]]:
        """The place of the strategy."""
        told = features(samples, self.signal)
        if told is None:
            return 0, {"option": 0}
        found = [(f.chance(told), f.cost(told)) for f in self.forecasts]
        worth = [chance - self.price * cost for chance, cost in found]
        place = worth.index(max(worth))
        chance, cost = found[place]
        return place, {"option": place, "chance": chance, "tokens": cost}


def glimpses(candidates: Sequence[Candidate]) -> list[Glimpse]:
    """What counts of a pilot's samples."""
    return [Glimpse(c.answer.key if c.answer else None, c.score, _tokens(c)) for c in candidates]


def _tokens(candidate: Candidate) -> int:
    """The length of a whole answer, which may have been begun later than others."""
    node = candidate.trajectory
    while node.parent is not None:
        node = node.parent
    return candidate.trajectory.clock - node.clock


def _line(weights: Sequence[float], told: Sequence[float]) -> float:
    return math.fsum(w * x for w, x in zip(weights, (*told, 1.0), strict=True))
