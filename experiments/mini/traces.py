"""Traces of thinking: worked solutions with slips, re-checks, changes of mind and doubts.

A trace is a list of pieces, each one operation:

    6*8=58 => 47+58-29                  a slip
    Wait 6*8=48 => 47+48-29             a re-check: the operation again, going on from there
    48-29=19 => 47+19
    47+19=66                            the answer is there
    Alternatively 47+48=95 => 95-29     another order from an earlier state, to the end again
    95-29=66

Slips are put in so that a model learns to look again. The digits of a wrong result do not count in
the loss, so it never learns to make them; all that comes of them does. A slip is followed by a
re-check that is right, at once or one piece later. Re-checks of what was right, changes of mind,
and doubts after the answer is there are redundant; how many there are is the dose.

Pure functions of the problem, the settings and the random numbers; no tensors, no model.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from experiments.mini.config import Thinking
from experiments.mini.tokenizer import (
    ALTERNATIVELY,
    BOX,
    END,
    END_OF_THINKING,
    THINK,
    WAIT,
    pattern,
)
from tts.tasks.mini_problems import (
    LIMIT,
    STEP_END,
    THEREFORE,
    MiniProblem,
    Term,
    carry_out,
    parse,
    places,
    render,
)

LATEST = 0.8
"""Share of the redundant re-checks that look at the latest operation, not at an earlier one."""
FROM_THE_START = 0.5
"""Share of the changes of mind that go back to the problem itself, where that has two ways."""
_TOKEN = re.compile(pattern(thinking=True))


@dataclass(frozen=True)
class Piece:
    """One operation of a trace.

    Attributes:
        opening: `WAIT`, `ALTERNATIVELY`, or nothing for a plain step.
        operation: such as ``6*8``.
        result: what is written as its result.
        right: whether that is its result.
        left: the expression that is left; nothing after the last operation.
    """

    opening: str
    operation: str
    result: int
    right: bool
    left: str

    def parts(self) -> Iterator[tuple[str, bool]]:
        """Its text in parts, each with whether it counts in the loss."""
        yield (f"{self.opening} " if self.opening else "") + f"{self.operation}=", True
        yield str(self.result), self.right
        if self.left:
            yield THEREFORE + self.left, True

    @property
    def text(self) -> str:
        """Its text, without the blank line after it."""
        return "".join(text for text, _ in self.parts())


@dataclass(frozen=True)
class Trace:
    """A thinking part and the answer.

    Attributes:
        pieces: in order.
        answer: the right one.
        cut: whether the thinking was closed before its end.
        rest: where it was cut inside a piece, what there is of this piece, in parts.
    """

    pieces: tuple[Piece, ...]
    answer: str
    cut: bool = False
    rest: tuple[tuple[str, bool], ...] = ()

    def parts(self) -> Iterator[tuple[str, bool]]:
        """The whole answer in parts that end between tokens; with whether each counts in the loss.

        The end of thinking does not count where thinking was cut: a model is to answer when it is
        made to, not to stop early by itself.
        """
        yield THINK, True
        for piece in self.pieces:
            yield from piece.parts()
            yield STEP_END, True
        yield from self.rest
        yield END_OF_THINKING, not self.cut
        yield BOX + self.answer + "}" + END, True

    @property
    def text(self) -> str:
        """The whole answer, with the end-of-text token."""
        return "".join(text for text, _ in self.parts())

    @property
    def thinking_tokens(self) -> int:
        """Tokens between the tags."""
        inside = self.text.partition(THINK)[2].partition(END_OF_THINKING)[0]
        return len(_TOKEN.findall(inside))


def trace(problem: MiniProblem, thinking: Thinking, rng: random.Random) -> Trace:
    """A trace of a problem, drawn at random.

    Args:
        problem: the problem.
        thinking: what traces are made of; one that comes out too long is drawn again, so that at
            high doses the hardest problems have somewhat fewer doubts.
        rng: random numbers.
    """
    while True:
        mind = _Mind(parse(problem.prompt), thinking, rng)
        mind.work()
        while rng.random() < thinking.dose / (1 + thinking.dose):
            mind.doubt()
        whole = Trace(tuple(mind.pieces), problem.answer)
        if whole.thinking_tokens <= thinking.longest:
            return _cut(whole, rng) if rng.random() < thinking.cuts else whole


def _cut(whole: Trace, rng: random.Random) -> Trace:
    """Closes the thinking at the end of a piece, or as often anywhere inside the one after it."""
    kept = rng.randrange(len(whole.pieces))
    rest: list[tuple[str, bool]] = []
    if rng.random() < 0.5:
        parts = whole.pieces[kept].parts()
        tokens = [(token, counts) for text, counts in parts for token in _TOKEN.findall(text)]
        rest = tokens[: rng.randrange(1, len(tokens) + 1)]
    return Trace(whole.pieces[:kept], whole.answer, cut=True, rest=tuple(rest))


@dataclass(frozen=True)
class _Step:
    """An operation that was carried out rightly: the terms before it, its place, those after it."""

    before: list[Term]
    at: int
    after: list[Term]


@dataclass
class _Mind:
    """The state of a trace in the making; `path` is the way to the latest state."""

    start: list[Term]
    thinking: Thinking
    rng: random.Random
    pieces: list[Piece] = field(default_factory=list)
    path: list[_Step] = field(default_factory=list)

    def work(self) -> None:
        """Goes on until a value is reached, looking back now and then."""
        while not _is_value(terms := self.path[-1].after if self.path else self.start):
            self._step("", terms, self.rng.choice(places(terms)))
            if _is_value(self.path[-1].after):
                return
            if self._happens(self.thinking.rechecks):
                self._recheck()
            elif self._happens(self.thinking.changes):
                self._change()

    def doubt(self) -> None:
        """Doubts the answer that is there: a re-check, or another way to the end."""
        if self.rng.random() < self.thinking.other_ways:
            self._change()
        else:
            self._recheck()
        self.work()

    def _happens(self, chance: float) -> bool:
        return self.rng.random() < chance * self.thinking.dose

    def _recheck(self) -> None:
        """Carries out an earlier operation again and goes on from there."""
        number = len(self.path) - 1
        if self.rng.random() > LATEST:
            number = self.rng.randrange(len(self.path))
        step = self.path[number]
        del self.path[number:]
        self._step(WAIT, step.before, step.at)

    def _change(self) -> None:
        """Goes on from an earlier state in another way; where there is none, in the same."""
        ways = {
            number: others
            for number, step in enumerate(self.path)
            if (others := [at for at in places(step.before) if at != step.at])
        } or {0: [self.path[0].at]}
        first = 0 in ways and self.rng.random() < FROM_THE_START
        number = 0 if first else self.rng.choice(list(ways))
        before = self.path[number].before
        del self.path[number:]
        self._step(ALTERNATIVELY, before, self.rng.choice(ways[number]))

    def _step(self, opening: str, before: list[Term], at: int) -> None:
        """Carries out an operation; there may be a slip first, and then a re-check."""
        after = carry_out(before, at)[1]
        if self.rng.random() < self.thinking.slips:
            wrong = slip(_result(after, at), self.rng)
            slipped = [*after[:at], (after[at][0], (wrong,)), *after[at + 1 :]]
            self._write(opening, before, at, slipped)
            ways = [] if _is_value(slipped) else places(slipped)
            if ways and self.rng.random() < self.thinking.later:
                place = self.rng.choice(ways)
                self._write("", slipped, place, carry_out(slipped, place)[1])
            opening = WAIT
        self._write(opening, before, at, after)
        self.path.append(_Step(before, at, after))

    def _write(self, opening: str, before: list[Term], at: int, after: list[Term]) -> None:
        text, right = carry_out(before, at)
        operation = text.partition("=")[0]
        left = "" if _is_value(after) else render(after)
        self.pieces.append(Piece(opening, operation, _result(after, at), after == right, left))


def _is_value(terms: list[Term]) -> bool:
    return len(terms) == 1 and len(terms[0][1]) == 1


def _result(after: list[Term], at: int) -> int:
    return after[at][1][0]


def slip(value: int, rng: random.Random) -> int:
    """A wrong result of the kind that a calculation by digits makes: one digit is off, or two.

    Args:
        value: the right result, from 0 up to `LIMIT`.
        rng: random numbers.
    """
    while True:
        wrong = value
        for _ in range(2 if rng.random() < 0.2 else 1):
            off = 1 if rng.random() < 0.7 else rng.randrange(2, 10)
            wrong += rng.choice((-1, 1)) * off * 10 ** rng.randrange(len(str(value)))
        if wrong != value and 0 <= wrong < LIMIT:
            return wrong
