"""An audit: is a candidate the model that the reference is?

A candidate's sequences are compared with those of an honest run, which is the reference writing
answers itself, to the same problems with other draws; and a second honest run says whether the
audit holds. All are read by the reference. Where the noise of the draws explains a candidate's
tokens margins are taken with it, for all three; else without. Where a candidate gives texts alone,
or tokens of another vocabulary, the reference spells all three anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tts.audit.collect import Plan, Reference, Written, as_text, reread, write
from tts.audit.margins import Reading, explained
from tts.audit.verdict import Point, Verdict, judge, points, sequences
from tts.errors import ConfigError
from tts.types import Usage

SURE = 5.0
"""Standard deviations above which noise explains a text: by luck one in three million does."""

_FEWEST = 20  # sequences; with fewer of them the interval covers nearly everything


Step = Callable[[str, int | None], Callable[[int], object]]
"""Told of a step, and of its number of texts if that is known; what it gives is told of texts."""


@dataclass(frozen=True, slots=True)
class Side:
    """What is known of one run's texts.

    Attributes:
        margins: Of its sequences, in nats, of shape (sequences, tokens).
        texts: How many were read.
        drawn_otherwise: Share of tokens that the reference would not have drawn, 0 to 1; without
            noise, that are not its likeliest.
        mean: Mean margin of a token, in nats.
    """

    margins: NDArray[np.float64]
    texts: int
    drawn_otherwise: float
    mean: float


@dataclass(frozen=True, slots=True)
class Audit:
    """What came of it.

    Attributes:
        candidate: Its texts.
        honest: Those of an honest run.
        again: Those of another one.
        points: What each number of tokens shows, the largest last.
        noise: Whether margins were taken with the noise of the draws.
        sure: How sure it is that the noise explains the candidate's tokens, in standard deviations.
        verdict: Of the candidate.
        tolerance: How far from 0.5 an area may lie that counts as alike.
        usage: What reading has cost.
    """

    candidate: Side
    honest: Side
    again: Side
    points: tuple[Point, ...]
    noise: bool
    sure: float
    verdict: Verdict
    tolerance: float
    usage: Usage

    @property
    def holds(self) -> bool:
        """Whether two honest runs are alike, as they must be."""
        area = self.points[-1].calibration
        return area.low <= 0.5 <= area.high


async def audit(
    reference: Reference,
    texts: Sequence[Written],
    plan: Plan,
    *,
    tolerance: float = 0.1,
    step: Step = lambda _, __: int,
) -> Audit:
    """Compare a candidate's texts with honest ones.

    Args:
        reference: Reads them all, and writes the honest ones; it must have been started.
        texts: The candidate's.
        plan: What is compared.
        tolerance: How far from 0.5 an area may lie that counts as alike, above 0 and below 0.5.
        step: Hears how it goes on.

    Raises:
        ConfigError: The texts make too few sequences.
        ContextTooLong: A text does not fit the reference's context.
        BackendError: The reference failed.
    """
    own = all(each.text.tokenizer == reference.model.tokenizer for each in texts)
    if not own:
        texts = as_text(texts)
    told = step("Reading the candidate", len(texts))
    read, usage = await reread(reference, texts, plan, told)
    plan = replace(plan, sequences=_check(read, plan))
    runs = [read]
    for run in ("honest", "again"):
        written = await write(reference, reference, plan, run, step("Writing honestly", None))
        if not own:
            written = as_text(written)
        told = step("Reading what is honest", len(written))
        found, cost = await reread(reference, written, plan, told)
        runs.append(found)
        usage += cost
    sure = explained(read)
    candidate, honest, again = (_side(readings, plan, noise=sure > SURE) for readings in runs)
    shown = tuple(points(candidate.margins, honest.margins, again.margins))
    verdict = judge(shown[-1].candidate, tolerance)
    return Audit(candidate, honest, again, shown, sure > SURE, sure, verdict, tolerance, usage)


def _check(read: Sequence[Reading], plan: Plan) -> int:
    """How many sequences the candidate's texts make, up to those that are wanted."""
    made = len(sequences([reading.plain for reading in read], plan.tokens))
    if made < _FEWEST:
        raise ConfigError(
            f"The candidate's texts make {made} sequences of {plan.tokens} tokens, and an audit"
            f" needs {_FEWEST}.",
            hint="Take a run with more texts, or lower --tokens.",
        )
    return min(made, plan.sequences)


def _side(readings: Sequence[Reading], plan: Plan, *, noise: bool) -> Side:
    # With noise, texts whose draw has no seed say nothing.
    found = [reading.noisy if noise else reading.plain for reading in readings]
    margins = [each for each in found if each is not None]
    every = np.concatenate(margins)
    pooled = sequences(margins, plan.tokens)[: plan.sequences]
    return Side(pooled, len(margins), float((every > 0).mean()), float(every.mean()))
