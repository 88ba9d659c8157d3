"""Beam search that rejects candidates in the midst of a step, by partial rewards.

Source: Cheshmi et al. 2025, "Accelerating LLM Reasoning via Early Rejection with Partial Reward
Modeling": most tokens of a beam search go into steps that are about to be pruned. So each candidate
writes `tau` tokens of the step at most, is judged as it stands, and only those that survive write
the step to its end. Of steps of L tokens this costs n tau + (n / width) (L - tau) instead of n L,
with the same n judgements. If the scores of cut steps carry independent sub-Gaussian noise sigma,
and the best one leads by Delta, it is rejected with probability at most
(n - 1) exp(-Delta^2 / (4 sigma^2)).

This is the method of the paper. The released code begins with one empty beam (here the first step
has `n` candidates), marks the step as ended before it is, and tells candidates apart by their text.
What the paper leaves open is settled as in `BeamSearch`. Ended answers, judged whole, compete with
steps that are judged cut: a verifier that thinks little of cut sentences favours them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import mean, median
from typing import Any, Literal

from tts.errors import ConfigError
from tts.protocols import Env, Selector
from tts.selectors import BestScore
from tts.strategies._steps import (
    STEPWISE,
    Harvest,
    Stepper,
    check_width,
    draw,
    side_by_side,
    together,
)
from tts.strategies.beam_search import survivors
from tts.types import Capability, Problem, Result, Trajectory, Usage


@dataclass(frozen=True)
class EarlyRejection:
    """Beam search with early rejection.

    `Result.details` tells, step by step, `tau` (None where all wrote the step to its end), `cut`
    (how many candidates it cut) and `rejected` (how many of those did not survive), and in
    `tokens_saved` an estimate of what the rejected ones would still have written: as much as those
    that survived beside them, on average (nothing, where none of these was cut).

    Args:
        n: Candidates at each step, at least `width`; `n // width` of them survive.
        width: Next steps drawn from each survivor, at least 1.
        tau: Tokens of a step after which it is judged, at least 1 and below `stepper.max_tokens`.
            `auto` takes `correlation ** 2` of the median length that the steps of survivors have
            had in this problem; first steps are written to their end.
        correlation: For `auto`: the wanted correlation of partial and final scores, above 0 and at
            most 1. If token scores are independent it is sqrt(tau / length).
        first_batch: Most candidates that write at once before they are judged; None for all.
        second_batch: Most survivors that complete their step at once; None for all.
        stepper: What ends a step.
        selector: Chooses among the answers at the end.
    """

    n: int = 16
    width: int = 4
    tau: int | Literal["auto"] = 64
    correlation: float = 0.8
    first_batch: int | None = None
    second_batch: int | None = None
    stepper: Stepper = Stepper()
    selector: Selector = BestScore()
    requires: frozenset[Capability] = STEPWISE

    def __post_init__(self) -> None:
        check_width("width", self.width)
        check_width("n", self.n, self.width)
        for name in ("first_batch", "second_batch"):
            if (batch := getattr(self, name)) is not None:
                check_width(name, batch)
        if not 0 < self.correlation <= 1:
            raise ConfigError(
                f"strategy.correlation is {self.correlation:g}; it must be above 0 and at most 1."
            )
        _check_tau(self.tau, self.stepper)

    @property
    def first_step(self) -> Usage:
        """A token and a judgement for each candidate."""
        return Usage(completion_tokens=self.n, calls=self.n, verifier_calls=self.n)

    async def __call__(self, problem: Problem, env: Env) -> Result:
        """Draw pieces, judge, keep the best, complete those, and go on from them."""
        harvest, log, finished = Harvest(env, self.selector), _Log(), self.stepper.finished
        beam, ended, copies, clock = [Trajectory.root()], list[Trajectory](), self.n, 0
        for _ in range(self.stepper.max_steps):
            tau = self._tau(log.lengths)
            cutting = replace(self.stepper, max_tokens=tau or self.stepper.max_tokens)
            drawn = await side_by_side(
                env, problem, cutting, beam, copies, after=clock, slots=self.first_batch
            )
            pieces = list(drawn.values())
            if not pieces:
                break
            clock = max(piece.clock for piece in pieces)
            await harvest.add(*filter(finished, pieces))
            keep = self.n // self.width
            ended, beam = survivors(env, problem, self.stepper, [*ended, *pieces], keep)
            if beam:
                harvest.lead(beam[0])
            lacking = {piece: self._lacking(env, problem, piece) for piece in pieces}
            wholes = await together(
                [partial(self._complete, env, p.after(clock), lacking[p]) for p in beam],
                self.second_batch,
            )
            rests = {p: w.clock - clock for p, w in zip(beam, wholes, strict=True) if w}
            log.add(tau, lacking, {*ended, *beam}, rests)
            paid = [whole for whole in wholes if whole]
            await harvest.add(*filter(finished, paid))
            ended += filter(finished, paid)
            beam = [whole for whole in paid if not finished(whole)]
            clock, copies = max([clock, *(node.clock for node in paid)]), self.width
        return Result(problem.id, await harvest.choice(), harvest.candidates, details=log.details())

    def _tau(self, lengths: Sequence[int]) -> int | None:
        """Tokens after which the next steps are judged; None for those of whole steps."""
        if self.tau != "auto":
            return self.tau
        if not lengths:
            return None
        # Rounded first: 0.64 of 50 tokens are 32, and 32.00000000000001 in floats.
        return math.ceil(round(self.correlation**2 * median(lengths), 9))

    def _lacking(self, env: Env, problem: Problem, piece: Trajectory) -> int:
        """Most tokens that a piece lacks to the end of its step; 0 if it has come to that."""
        if piece.finish != "length":
            return 0
        room = self.stepper.room(env, problem, piece)
        if self.stepper.max_tokens is None:
            return room
        return min(room, self.stepper.max_tokens - _length(piece))

    async def _complete(self, env: Env, piece: Trajectory, lacking: int) -> Trajectory:
        """Write a step to its end; an answer that ends with it is judged as a whole.

        Backends look for the delimiter in what is new. Where the cut may lie within one, the step
        goes on token by token, and it is looked for here.
        """
        delimiter, node, text = self.stepper.delimiter, piece, _text(piece)
        while node.finish == "length" and lacking > 0:
            most = 1 if _ends_within(text, delimiter) else lacking
            async with env.reserve(node, most) as inner:
                more = await draw(inner, self.stepper, node, 0, inner.max_tokens)
                text += _text(more)
                if more.finish == "length" and delimiter and delimiter in text:
                    more = replace(more, finish="step")
                if self.stepper.finished(more):
                    (more,) = await inner.score([more])
            lacking -= more.clock - node.clock
            node = more
        return node


@dataclass
class _Log:
    """What is told of a search, and what `auto` goes by."""

    tau: list[int | None] = field(default_factory=list)
    cut: list[int] = field(default_factory=list)
    rejected: list[int] = field(default_factory=list)
    saved: float = 0.0
    lengths: list[int] = field(default_factory=list)

    def add(
        self,
        tau: int | None,
        lacking: Mapping[Trajectory, int],
        kept: Set[Trajectory],
        rests: Mapping[Trajectory, int],
    ) -> None:
        """Note a step.

        Args:
            tau: Tokens after which it was judged.
            lacking: For each candidate, the most tokens that it lacked when it was judged.
            kept: What survived.
            rests: For each survivor that has not ended and was paid for, the tokens of its rest.
        """
        cut = {piece for piece, tokens in lacking.items() if tokens}
        self.tau.append(tau)
        self.cut.append(len(cut))
        self.rejected.append(len(cut - kept))
        written = [tokens for piece, tokens in rests.items() if piece in cut]
        self.saved += len(cut - kept) * mean(written) if written else 0.0
        # Of survivors alone: of the others only those are known that were short enough.
        whole = [piece for piece in lacking if piece in rests or piece in kept - cut]
        self.lengths += [_length(piece) + rests.get(piece, 0) for piece in whole]

    def details(self) -> dict[str, Any]:
        """As it is told in `Result.details`."""
        return {
            "tau": self.tau,
            "cut": self.cut,
            "rejected": self.rejected,
            "tokens_saved": round(self.saved),
        }


def _check_tau(tau: int | str, stepper: Stepper) -> None:
    if tau == "auto":
        return
    if isinstance(tau, str):
        raise ConfigError(f"strategy.tau is {tau!r}; it must be a number of tokens, or auto.")
    check_width("tau", tau)
    if stepper.max_tokens is not None and tau >= stepper.max_tokens:
        raise ConfigError(
            f"strategy.tau is {tau}, and no step is longer than stepper.max_tokens, which is"
            f" {stepper.max_tokens}: every candidate would write its step to the end.",
            hint="Lower strategy.tau, or raise stepper.max_tokens.",
        )


def _text(node: Trajectory) -> str:
    return node.segment.text if node.segment else ""


def _length(piece: Trajectory) -> int:
    """Tokens that a piece took, its end included."""
    return piece.clock - (piece.parent.clock if piece.parent else 0)


def _ends_within(text: str, delimiter: str) -> bool:
    """Whether a text ends with what may become the delimiter."""
    return any(text.endswith(delimiter[:size]) for size in range(1, len(delimiter)))
