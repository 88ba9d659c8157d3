"""Adaptive sampling: stop when an answer is good enough, and leave poor ones after a few words.

Source: Manvi et al. 2024, "Adaptive Inference-Time Compute: LLMs Can Predict if They Can Do Better,
Even Mid-Generation". There the model itself was trained to judge; here the verifier does, be it a
reward model or a trained probe. One algorithm has three uses:

- one at a time: `at_once` 1. Answers are drawn one after the other until the best score reaches
  `threshold`. The first is drawn cold, and each further one warmer.
- pruning: `at_once` equal to `n`, a `prefix` and no `threshold`. All begin side by side, are judged
  after so many tokens, and only the best `keep` of them are written to their end.
- both: rounds of `at_once` answers, each pruned, until one is good enough.

The i-th answer is drawn at T_i = hottest - (hottest - coldest) 2^(-(i-1)/2); what the paper did is
not known, and this schedule is ours. `EarlyRejection` prunes at every step, by a whole divisor;
here whole answers are pruned once, by a share.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from tts.errors import ConfigError
from tts.protocols import Env, Selector
from tts.selectors import BestScore
from tts.strategies._common import check_n, generate
from tts.strategies._steps import Harvest, check_width, raw, room_for_rest, together
from tts.types import Capability, Problem, Result, Trajectory

_WHOLE = frozenset({Capability.VERIFIER})
_PRUNED = frozenset({Capability.VERIFIER, Capability.PARTIAL_SCORES, Capability.CONTINUATION})


@dataclass(frozen=True)
class AdaptiveSampling:
    """Rounds of judged answers until one is good enough.

    `Result.details` tells how many answers were begun (`begun`) and left at their prefix
    (`pruned`), and the best score of those that were not (`best`; None if there is none).

    Args:
        n: Most answers to begin, at least 1.
        threshold: Score at which an answer is good enough, on the verifier's own scale; None for
            never.
        at_once: Answers begun side by side in a round, 1 to `n`.
        prefix: Tokens after which they are judged and pruned, at least 1; None for no pruning.
        keep: Share of a round that is written to its end, above 0 and at most 1, rounded up.
        coldest: Temperature of the first answer, 0 to `hottest`.
        hottest: Temperature that later answers approach, at most 2.
        selector: Chooses among the answers at the end.
    """

    n: int = 16
    threshold: float | None = 0.9
    at_once: int = 1
    prefix: int | None = None
    keep: float = 0.25
    coldest: float = 0.3
    hottest: float = 1.0
    selector: Selector = BestScore()

    def __post_init__(self) -> None:
        check_n(self.n)
        check_width("at_once", self.at_once)
        if self.at_once > self.n:
            raise ConfigError(
                f"strategy.at_once is {self.at_once}, and strategy.n is {self.n}.",
                hint=f"Set strategy.at_once={self.n}, or raise strategy.n.",
            )
        if self.prefix is not None:
            check_width("prefix", self.prefix)
        if not 0 < self.keep <= 1:
            raise ConfigError(f"strategy.keep is {self.keep:g}; it must lie in (0, 1].")
        if self.threshold is not None and not math.isfinite(self.threshold):
            raise ConfigError(
                f"strategy.threshold is {self.threshold}; it must be a finite number.",
                hint="Set strategy.threshold=null to draw all.",
            )
        if not 0 <= self.coldest <= self.hottest <= 2:
            raise ConfigError(
                f"strategy.coldest is {self.coldest:g} and strategy.hottest {self.hottest:g}; they"
                " must lie in [0, 2], the colder one first."
            )

    @property
    def requires(self) -> frozenset[Capability]:
        """A verifier; to prune, one of unfinished answers, and a model that continues them."""
        return _WHOLE if self.prefix is None else _PRUNED

    def temperature(self, number: int) -> float:
        """Of an answer, by its number from 0."""
        cooling: float = 2 ** (-number / 2)
        return self.hottest - (self.hottest - self.coldest) * cooling

    async def __call__(self, problem: Problem, env: Env) -> Result:
        """Draw rounds until an answer is good enough."""
        harvest, clock, best, begun, pruned = Harvest(env, self.selector), 0, -math.inf, 0, 0
        while begun < self.n and (self.threshold is None or best < self.threshold):
            wanted = min(self.at_once, self.n - begun)
            granted = await env.more(harvest.candidates, wanted)
            if not granted:
                break
            heads = await self._begin(problem, env, range(begun, begun + granted), clock)
            kept = self._kept(heads)
            clock = max([clock, *(node.clock for node in heads.values())])
            if kept and not any(node.finish == "stop" for node in kept.values()):
                harvest.lead(next(iter(kept.values())))
            wholes = await self._finish(problem, env, kept, clock)
            await harvest.add(*wholes)
            clock = max([clock, *(node.clock for node in wholes)])
            best = max([best, *(raw(node) for node in wholes)])
            begun, pruned = begun + granted, pruned + len(heads) - len(kept)
            if len(heads) < granted or len(wholes) < len(kept):
                break  # the budget is spent
        details: dict[str, Any] = {"begun": begun, "pruned": pruned}
        details["best"] = best if best > -math.inf else None
        return Result(problem.id, await harvest.choice(), harvest.candidates, details=details)

    async def _begin(
        self, problem: Problem, env: Env, numbers: range, clock: int
    ) -> dict[int, Trajectory]:
        """Draw answers, or their beginnings, and have them judged; those that could be paid."""
        root = Trajectory.root(clock=clock)
        room = room_for_rest(env, problem, root)
        size = room if self.prefix is None else min(room, self.prefix)
        drawn = await together([partial(self._draw, env, root, i, i, size) for i in numbers])
        return {i: node for i, node in zip(numbers, drawn, strict=True) if node is not None}

    def _kept(self, heads: dict[int, Trajectory]) -> dict[int, Trajectory]:
        """The best of a round, the earlier one in a tie; all where nothing is pruned."""
        if self.prefix is None:
            return heads
        most = math.ceil(round(self.keep * len(heads), 9))
        best = sorted(heads, key=lambda number: (-raw(heads[number]), number))[:most]
        return {number: heads[number] for number in best}

    async def _finish(
        self, problem: Problem, env: Env, kept: dict[int, Trajectory], clock: int
    ) -> Sequence[Trajectory]:
        """Write the answers to their end, those that have not come to it, by number."""
        open_ends = {
            number: room
            for number, node in sorted(kept.items())
            if self.prefix is not None
            and node.finish == "length"
            and (room := room_for_rest(env, problem, node))
        }
        work = [
            partial(self._draw, env, kept[number].after(clock), 0, number, room)
            for number, room in open_ends.items()
        ]
        ends = dict(zip(open_ends, await together(work), strict=True))
        wholes = [ends.get(number, node) for number, node in sorted(kept.items())]
        return [node for node in wholes if node is not None]

    async def _draw(
        self, env: Env, node: Trajectory, child: int, number: int, room: int
    ) -> Trajectory:
        """Continue a node at the temperature of an answer, and have it judged."""
        async with env.reserve(node, room) as inner:
            request = inner.request(node, child)
            heat = replace(request.sampling, temperature=self.temperature(number))
            size = min(room, inner.max_tokens)
            drawn = await generate(inner, replace(request, sampling=heat, max_tokens=size))
            (judged,) = await inner.score([drawn])
        return judged
