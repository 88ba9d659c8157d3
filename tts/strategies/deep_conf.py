"""DeepConf: the vote of the answers of whose words the model was sure; the others can be cut short.

Source: Fu et al. 2025, "Deep Think with Confidence". The confidence of a token is the negative mean
log-probability of the `top` likeliest tokens at its place, before temperature; that of a group is
its mean over a window. Nothing but the answer's own tokens is needed: no verifier.

- `offline`: all `n` answers are drawn to their end.
- `online`: first `warmup` answers are drawn to their end. Then the rest is drawn side by side, and
  each of them is left as soon as a window's mean falls below the threshold.

The threshold is a percentile of the confidences of all answers, or of the warm-up's; those whose
result cannot be read are left out. Who is below it never votes. Whether that is so depends on an
answer's own tokens and on the threshold alone, not on when or in what chunks the tokens came. So
online the answer is that of a vote for which everything had been drawn to its end.

An answer shorter than a window is never left on its way. When it has ended, the mean over what is
there stands for its windows, and it votes if that is not below the threshold; the published program
lets it vote in any case, unless it belongs to the warm-up. An answer that was left is never read.

With `consensus` one goes by the clock: all that is under way is left when the vote is as good as
decided, so what has arrived by then decides. `Result.details` holds it, for `replaying`.

Where chains are watched, tokens that a watcher takes back can still make an answer fall below the
threshold on its way; they do not count in the confidence of one that has ended.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from tts.errors import BudgetExhausted, ConfigError
from tts.protocols import Env, Strategy
from tts.signals.answers import confidences_of
from tts.signals.tokens import token_confidences
from tts.signals.windows import Measure, Window, score_of
from tts.strategies._ballot import Ballot, Trace
from tts.strategies._common import as_they_come, check_n
from tts.strategies._steps import check_width
from tts.strategies.particle_filter import Vote
from tts.types import Candidate, Capability, Problem, ProblemId, Result, Trajectory

Mode = Literal["offline", "online"]


@dataclass(frozen=True)
class DeepConf:
    """A vote of the confident.

    `Result.candidates` are the answers that were drawn to their end. `Result.details` tells the
    confidence of each (`confidence`, nats), the threshold (`threshold`; None if there was none),
    and the numbers of the answers that fell below it on their way (`cut`).

    Args:
        mode: Whether answers are filtered when all is drawn, or cut while they are drawn.
        n: Most answers to draw, at least 1.
        warmup: Of these, how many are drawn to their end to set the threshold; online only, 1 to
            `n`.
        keep: Share of the answers that are above the threshold, above 0 and at most 1. The paper's
            "high" is 0.9, and its "low" 0.1.
        window: Tokens of a group, at least 1.
        top: Likeliest tokens of which a token's confidence is made, at least 1.
        score: The confidence of an answer: `mean` over all its tokens; `tail`, over the last
            `window`; `bottom`, over the lowest tenth of its groups; `lowest`, that of the lowest
            group, as it must be online.
        weighted: Whether votes weigh as much as their answer's confidence, or all the same.
        consensus: Share of the votes, above 0 and at most 1, with which an answer ends the drawing
            after the warm-up; online only. None to draw all.
    """

    mode: Mode = "online"
    n: int = 32
    warmup: int = 8
    keep: float = 0.9
    window: int = 64
    top: int = 20
    score: Measure = "lowest"
    weighted: bool = True
    consensus: float | None = None
    requires: frozenset[Capability] = frozenset({Capability.LOGPROBS})

    def __post_init__(self) -> None:
        check_n(self.n)
        for name in ("warmup", "window", "top"):
            check_width(name, getattr(self, name))
        for name, known in (("mode", Mode), ("score", Measure)):
            if (value := getattr(self, name)) not in get_args(known):
                raise ConfigError(
                    f"strategy.{name} is {value!r}.", hint=f"Take one of {get_args(known)}."
                )
        for name in ("keep", "consensus"):
            share = getattr(self, name)
            if share is not None and not 0 < share <= 1:
                raise ConfigError(f"strategy.{name} is {share:g}; it must lie in (0, 1].")
        self._check_mode()

    def _check_mode(self) -> None:
        if self.mode == "offline" and self.consensus is not None:
            raise ConfigError(
                "strategy.consensus is set, and offline all answers are drawn.",
                hint="Set strategy.mode=online, or leave strategy.consensus out.",
            )
        if self.mode == "offline":
            return
        if self.warmup > self.n:
            raise ConfigError(
                f"strategy.warmup is {self.warmup}, and strategy.n is {self.n}; it lies from 1"
                " to n.",
                hint=f"Set strategy.warmup={self.n}, or raise strategy.n.",
            )
        if self.score != "lowest":
            raise ConfigError(
                f"strategy.score is {self.score!r}, and online answers are cut by their lowest"
                " group.",
                hint="Set strategy.score=lowest, or strategy.mode=offline.",
            )

    @property
    def first(self) -> int:
        """How many answers set the threshold."""
        return self.n if self.mode == "offline" else self.warmup

    async def __call__(self, problem: Problem, env: Env) -> Result:
        """Draw, leave what is below the threshold, and vote."""
        return await self.among(None, problem, env)

    def replaying(self, results: Sequence[Result]) -> Strategy:
        """The same search, which ends when all has arrived that arrived in these results.

        Without `consensus` it is the same anyway.
        """
        if self.consensus is None:
            return self
        arrived = {
            (result.problem_id, result.repeat): result.details["arrived"]
            for result in results
            if "arrived" in result.details
        }
        return _Again(self, arrived)

    async def among(self, known: Collection[int] | None, problem: Problem, env: Env) -> Result:
        """The same, and if it is known, only those with these numbers arrive after the warm-up."""
        search = _Search(self, env, known)
        asked = 0
        while asked < self.n and not (asked >= self.first and search.settled):
            goal = self.first if asked < self.first else self.n
            granted = await env.more(search.candidates, goal - asked)
            if not granted:
                break
            await search.draw(range(asked, asked + granted), late=asked >= self.first)
            asked += granted
            if search.short:
                break
        return await search.result(problem)


@dataclass(eq=False)
class _Search:
    """What has been drawn for one problem.

    Attributes:
        how: The strategy.
        env: Where to draw.
        known: Numbers of those that arrive after the warm-up, if that is known beforehand.
        short: Whether the budget could not pay all that was asked for.
    """

    how: DeepConf
    env: Env
    known: Collection[int] | None
    short: bool = False
    _pool: dict[int, Trace] = field(default_factory=dict)
    _cut: list[int] = field(default_factory=list)
    _arrived: list[int] = field(default_factory=list)
    _clock: int = 0
    _due: int = 0

    @property
    def ballot(self) -> Ballot:
        """The vote as it stands."""
        traces = tuple(self._pool[number] for number in sorted(self._pool))
        return Ballot(traces, self.how.first, self.how.keep, self.how.weighted)

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """All that were drawn to their end, by number."""
        return tuple(trace.candidate for trace in self.ballot.traces)

    @property
    def settled(self) -> bool:
        """Whether nothing more is to be drawn after the warm-up."""
        if self.how.consensus is None:
            return False
        if self.known is not None:
            return set(self.known) <= set(self._arrived)
        return self.ballot.consensus >= self.how.consensus

    async def draw(self, numbers: range, *, late: bool) -> None:
        """Draw the answers with these numbers, side by side and after all that there is.

        When it is `late`, who falls below the threshold is left, and all when it is settled.
        """
        threshold = self.ballot.threshold if late else None
        after, came = self._clock, 0
        draws = (self._one(number, after, threshold) for number in numbers)
        async with aclosing(as_they_come(draws)) as arriving:
            async for number, node, trace in arriving:
                came += 1
                self._clock = max(self._clock, node.clock)
                if trace is None:
                    self._cut.append(number)
                elif not late or self.known is None or number in self.known:
                    await self._keep(trace, late=late)
                if late and self.settled:
                    return
        self.short = came < len(numbers)

    async def result(self, problem: Problem) -> Result:
        """The vote."""
        ballot = self.ballot
        details: dict[str, Any] = {
            "threshold": ballot.threshold if ballot.threshold > -math.inf else None,
            "confidence": [trace.confidence for trace in ballot.traces],
            "cut": sorted(self._cut),
        }
        if self.how.consensus is not None:
            details["arrived"] = self._arrived
        best = await self._best()
        # Nobody knows the outcome before the last of those that were cut has been.
        late = [replace(c, trajectory=c.trajectory.after(self._clock)) for c in self.candidates]
        chosen = late[self.candidates.index(best)] if best else None
        return Result(problem.id, chosen, tuple(late), details=details)

    async def _one(
        self, number: int, after: int, threshold: float | None
    ) -> tuple[int, Trajectory, Trace | None] | None:
        """Draw one answer; None if nothing can pay it.

        Returns:
            Its number and text, and what it is worth; nothing, if it fell below the threshold.
        """
        how, lowest, window = self.how, math.inf, Window(self.how.window)
        request = self.env.request(Trajectory.root(clock=after), number)
        request = replace(request, logprobs=how.top, watch=threshold is not None)
        try:
            async with self.env.backend.open(request) as stream:
                async for chunk in stream:
                    if threshold is None:
                        continue
                    lowest = min(lowest, window.lowest(token_confidences(chunk, how.top)))
                    if lowest < threshold:
                        break
        except BudgetExhausted:
            return None
        node = stream.trajectory
        if threshold is not None and lowest < threshold:
            return number, node, None
        confidence = score_of(confidences_of(node, how.top), how.score, how.window)
        return number, node, Trace(number, await self.env.candidate(node), confidence)

    async def _keep(self, trace: Trace, *, late: bool) -> None:
        """Keep an answer, and publish the best."""
        self._pool[trace.number] = trace
        if late:
            self._arrived.append(trace.number)
        if len(self._pool) >= self._due:
            # Ever rarer as the pool grows, so that all choices together cost little.
            self._due = len(self._pool) + 1 + len(self._pool) // 2
            best = await self._best()
            if best is not None:
                self.env.publish(best)

    async def _best(self) -> Candidate | None:
        votes = self.ballot.votes
        return await self.env.choose(Vote(votes), list(votes))


@dataclass(frozen=True)
class _Again:
    """A search of which it is known what arrives after the warm-up, by problem and repeat."""

    strategy: DeepConf
    arrived: Mapping[tuple[ProblemId, int], Collection[int]]

    @property
    def requires(self) -> frozenset[Capability]:
        """What the search needs."""
        return self.strategy.requires

    async def __call__(self, problem: Problem, env: Env) -> Result:
        """Search, with the outcome that is known."""
        known = self.arrived.get((problem.id, problem.repeat))
        return await self.strategy.among(known, problem, env)
