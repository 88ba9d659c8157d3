"""Figures of a thinker from the texts of its answers: pure functions, no engine, no files.

A text is read back into the pieces of `traces`. What cannot be read (a broken operation) is no
piece, but its tokens count.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from experiments.mini.figures import ALL, ByLevel, Triple, by_level, place_of
from experiments.mini.sampling import boxed
from experiments.mini.tokenizer import BOX, END_OF_THINKING, THINK, WAIT, pattern
from experiments.mini.traces import Piece
from tts.tasks.mini_problems import STEP_END, carry_out, parse

QUANTILES = (0.1, 0.5, 0.9)
"""Of the lengths of traces."""
_TOKEN = re.compile(pattern(thinking=True))
_PIECE = re.compile(r"(?:(\w+) )?(\d+[-+*]\d+)=(\d+)(?: => ([-+*\d]+))?")


@dataclass(frozen=True)
class Read:
    """An answer, read.

    Attributes:
        pieces: of the thinking part in order, None for what is no piece.
        ends: for each of them the tokens of the thinking part up to its end, blank line included.
        tokens: of the thinking part.
        answer: content of the box, None where there is none.
    """

    pieces: tuple[Piece | None, ...]
    ends: tuple[int, ...]
    tokens: int
    answer: str | None

    @property
    def known(self) -> int | None:
        """Tokens after which the final answer stands there as a value; None if it never does."""
        for piece, end in zip(self.pieces, self.ends, strict=True):
            if piece and not piece.left and str(piece.result) == self.answer:
                return end
        return None


def read_answer(text: str) -> Read:
    """Reads the text of a whole answer."""
    thought = text.removeprefix(THINK).partition(END_OF_THINKING)[0]
    pieces, ends, tokens = [], [], 0
    for part in thought.removesuffix(STEP_END).split(STEP_END):
        tokens += len(_TOKEN.findall(part)) + 1
        pieces.append(_piece(part))
        ends.append(tokens)
    total = len(_TOKEN.findall(thought))
    return Read(tuple(pieces), tuple(ends), total, boxed(text))


def _piece(text: str) -> Piece | None:
    match = _PIECE.fullmatch(text)
    if not match:
        return None
    opening, operation, result, left = match.groups(default="")
    right = carry_out(parse(operation), 0)[0] == f"{operation}={result}"
    return Piece(opening, operation, int(result), right, left)


def cut_text(text: str, part: float) -> str:
    """The text of an answer whose thinking is closed after a part of its tokens, box opened."""
    thought = text.removeprefix(THINK).partition(END_OF_THINKING)[0]
    tokens = _TOKEN.findall(thought)
    return THINK + "".join(tokens[: int(part * len(tokens))]) + END_OF_THINKING + BOX


Reads = dict[str, Sequence[Read]]
"""The answers to each problem, by its id."""


def lengths(reads: Reads) -> dict[str, dict[str, float]]:
    """Mean and quantiles of the tokens of the thinking parts, by level and over all."""
    found: dict[str, dict[str, float]] = {}
    for row, chosen in _levels(reads):
        tokens = np.array([read.tokens for read in chosen])
        quantiles = zip(QUANTILES, np.quantile(tokens, QUANTILES), strict=True)
        found[row] = {"mean": float(tokens.mean()), **{f"{q:g}": float(v) for q, v in quantiles}}
    return found


def spread(reads: Reads) -> float:
    """Mean over the problems of the longest trace of a problem by its shortest."""
    both = [(max(r.tokens for r in each), min(r.tokens for r in each)) for each in reads.values()]
    return float(np.mean([longest / max(1, shortest) for longest, shortest in both]))


def redundancy(reads: Reads) -> ByLevel:
    """Share of the thinking's tokens after the final answer first stands there.

    Answers whose value never stood in their thinking are left out.
    """
    shares = {name: [_after(read) for read in each] for name, each in reads.items()}
    known = {name: [v for v in each if v is not None] for name, each in shares.items()}
    return by_level({name: float(np.mean(each)) for name, each in known.items() if each})


def _after(read: Read) -> float | None:
    known = read.known
    return None if known is None else 1 - min(known, read.tokens) / read.tokens


def rechecks(reads: Reads) -> dict[str, Triple]:
    """How re-checks meet the model's own slips: shares of pieces, intervals over the problems.

    * ``looked at``: slips whose operation is re-checked within the next two pieces;
    * ``repaired``: of these, the first such re-check is right;
    * ``kept``: of these, it repeats the wrong result;
    * ``needless``: right pieces whose operation is re-checked within the next two pieces;
    * ``spoiled``: of these, the re-check is wrong;
    * ``slips``: of all pieces, those whose result is wrong.
    """
    events = {name: [_events(each)[name] for each in reads.values()] for name in _EVENTS}
    return {name: _ratio(pairs) for name, pairs in events.items()}


_EVENTS = ("slips", "looked at", "repaired", "kept", "needless", "spoiled")


def _events(answers: Iterable[Read]) -> dict[str, tuple[int, int]]:
    """Of each kind, how often it happened and how often it could have."""
    counts = {name: [0, 0] for name in _EVENTS}

    def count(name: str, happened: bool) -> None:
        counts[name][0] += happened
        counts[name][1] += 1

    for read in answers:
        for number, piece in enumerate(read.pieces):
            if piece is None:
                continue
            count("slips", not piece.right)
            again = _again(read.pieces, number)
            count("needless" if piece.right else "looked at", again is not None)
            if again and piece.right:
                count("spoiled", not again.right)
            elif again:
                count("repaired", again.right)
                count("kept", again.result == piece.result)
    return {name: (pair[0], pair[1]) for name, pair in counts.items()}


def _again(pieces: Sequence[Piece | None], number: int) -> Piece | None:
    """The first re-check of a piece's operation among the two after it."""
    piece = pieces[number]
    for later in pieces[number + 1 : number + 3]:
        if piece and later and later.opening == WAIT and later.operation == piece.operation:
            return later
    return None


def _ratio(pairs: Sequence[tuple[int, int]]) -> Triple:
    """Sum of the first by sum of the second, one pair a problem, with its bootstrap interval."""
    happened, could = np.array(pairs).T
    if len(pairs) < 2 or not could.sum():
        return math.nan, math.nan, math.nan
    interval = stats.bootstrap(
        (happened, could), _of_sums, paired=True, method="percentile", n_resamples=2000, rng=0
    ).confidence_interval
    return float(_of_sums(happened, could)), float(interval.low), float(interval.high)


def _of_sums(happened: Any, could: Any, axis: int = -1) -> Any:
    return happened.sum(axis) / np.maximum(could.sum(axis), 1)


def _levels(reads: Reads) -> Iterator[tuple[str, list[Read]]]:
    """All answers of each level, and of all."""
    levels = sorted({place_of(name)[0] for name in reads})
    for level in levels:
        chosen = [each for name, each in reads.items() if place_of(name)[0] == level]
        yield str(level), [read for answers in chosen for read in answers]
    yield ALL, [read for answers in reads.values() for read in answers]
