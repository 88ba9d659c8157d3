"""TrimR: a small model reads along, and ends thinking that has converged or gets nowhere.

Source: Lin et al. 2025, "TrimR: Verifier-based Training-Free Thinking Compression for Efficient
Test-Time Scaling". A chain is split where it begins to reflect. The judge says of each segment
whether it concludes with an answer, and of an answer whether it equals the one before. Nothing
waits for the judge: the chain is cut where its word turns out to count.

What the published description leaves open is settled here. The pseudo-code for underthinking looks
at the length alone; this follows the text, which spares a chain whose answers agreed. Answers are
compared with the latest one before, whatever was said between. Loops are a watcher of their own.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace

from tts.errors import ConfigError
from tts.trimming._steps import Steps, check_steps
from tts.trimming._verdicts import existence, sameness, says_yes
from tts.trimming.loops import FORCED
from tts.types import Capability
from tts.watching import Ask, Close, Decision, Pause, Piece, Question, Reply, Setting

SETTLED = "I have checked this enough, and the answer stays the same.\n"
"""Text that ends a chain which goes on after its answer is clear."""

_LONGEST = 1200  # characters of a snippet: a few hundred tokens, even if no sentence ever ends
_AGREEING = 2  # comparisons in a row by which three answers agree
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


@dataclass(frozen=True, slots=True)
class Segment:
    """A finished segment.

    Attributes:
        number: From 1.
        end: Where it ended.
        snippet: Its last sentences.
        concludes: Whether it has an answer; None while that is not known.
        before: The latest snippet before it that has one; empty if there was none.
        agrees: Whether its answer is the one of `before`; None while that is not known.
    """

    number: int
    end: int
    snippet: str
    concludes: bool | None = None
    before: str = ""
    agrees: bool | None = None

    @property
    def clear(self) -> bool:
        """Whether all is known that will be."""
        if not self.concludes:
            return self.concludes is False
        return not self.before or self.agrees is not None


@dataclass(frozen=True, slots=True)
class Checks:
    """Where the checking of a chain stands.

    Attributes:
        setting: Of the chain.
        steps: Where its reader stands.
        tail: The end of the present segment, as far as it has been read.
        last: The end of the present segment, up to its present step.
        tokens: Read so far, inserted ones included.
        long: Where the chain had its share of the tokens; None before that.
        finished: Segments so far.
        open: Those among them that are not judged yet, in their order.
        answer: The latest snippet with an answer.
        row: How often in a row answers agreed.
        best: The largest `row` so far.
    """

    setting: Setting
    steps: Steps = field(default_factory=Steps)
    tail: str = ""
    last: str = ""
    tokens: int = 0
    long: int | None = None
    finished: int = 0
    open: tuple[Segment, ...] = ()
    answer: str = ""
    row: int = 0
    best: int = 0


@dataclass(frozen=True)
class TrimR:
    """Closes thinking that has converged, or that is long and has not.

    Overthinking: the answers of `agree` + 1 segments with an answer, one after the other, are the
    same. Any answer that differs from the one before starts the count anew, so the answers
    A, A, B, A, A end nothing at `agree=2`. Underthinking: the chain has `segments` segments, or
    `share` of its tokens, and no three answers in a row have agreed. Either is decided by segment,
    in their order, as of the segment's end, and thinking is closed there; so what comes of it does
    not depend on how fast the judge is. A judge that is neither clear nor sure has said no.

    Args:
        agree: Comparisons in a row that must find the same answer, at least 1.
        share: Of the tokens of an answer, above 0 and at most 1; 1 for no limit.
        segments: Segments after which a chain is long, at least 1.
        sentences: How many sentences at the end of a segment the judge reads, at least 1.
        sure: Least probability of the judge's `Yes`, 0 to 1.
        settled: Text that ends overthinking; it begins a step.
        forced: Text that ends underthinking, likewise.
    """

    agree: int = 2
    share: float = 0.5
    segments: int = 20
    sentences: int = 5
    sure: float = 0.5
    settled: str = SETTLED
    forced: str = FORCED
    requires: frozenset[Capability] = frozenset()

    def __post_init__(self) -> None:
        for name in ("agree", "segments", "sentences"):
            if (value := getattr(self, name)) < 1:
                raise ConfigError(f"trimr.{name} is {value}; it must be at least 1.")
        if not 0 < self.share <= 1:
            raise ConfigError(f"trimr.share is {self.share:g}; it must be above 0, at most 1.")
        if not 0 <= self.sure <= 1:
            raise ConfigError(f"trimr.sure is {self.sure:g}; it must lie between 0 and 1.")

    def begin(self, setting: Setting) -> Checks:
        """Nothing has been read.

        Raises:
            ConfigError: The model marks no steps, or no words are known with which it reflects.
        """
        check_steps(setting.thinking, "TrimR")
        return Checks(setting)

    def pause(self, state: Checks) -> Pause:
        """Read along; the chain stops once, where it has its share of the tokens."""
        left = None if state.long is not None else self._long(state.setting) - state.tokens
        return Pause(watch=True, tokens=left)

    def read(self, state: Checks, piece: Piece) -> tuple[Checks, Decision]:
        """Ask about the segments that have ended."""
        text, read = state.tail + piece.text, state.steps.read + len(piece.text)
        marks, steps = state.steps.after(piece.text, state.setting.thinking)
        tail, last, ended = text, state.last, list[Segment]()
        for mark in marks:
            if mark.kind == "end":
                last = tail[: len(tail) - (read - mark.at)][-_LONGEST:]
            else:
                number = state.finished + len(ended) + 1
                ended.append(Segment(number, mark.at, self._snippet(last)))
                tail, last = tail[-(read - mark.at) :], ""
        tokens, long = state.tokens + piece.tokens, state.long
        if long is None and tokens >= self._long(state.setting):
            long = read
        state = replace(
            state,
            steps=steps,
            tail=tail[-_LONGEST:],
            last=last,
            tokens=tokens,
            long=long,
            finished=state.finished + len(ended),
            open=(*state.open, *ended),
        )
        questions = tuple(
            Question("answer", each.end, messages=existence(each.snippet), logprobs=0)
            for each in ended
        )
        return state, Ask(questions) if questions else None

    def hear(self, state: Checks, reply: Reply) -> tuple[Checks, Decision]:
        """Take in what the judge says of a segment, and decide as far as all is known."""
        asked, yes = reply.question, says_yes(reply, self.sure)
        number = next((i for i, each in enumerate(state.open) if each.end == asked.at), None)
        if number is None:
            return state, None
        state = _without_replies(state, number, asked.name)
        segment = state.open[number]
        if asked.name == "same":
            return self._decide(_with(state, number, replace(segment, agrees=yes)))
        concluding = [each.snippet for each in state.open[:number] if each.concludes]
        before = (concluding or [state.answer])[-1] if yes else ""
        state = _with(state, number, replace(segment, concludes=yes, before=before))
        if before:
            messages = sameness(state.setting.question, before, segment.snippet)
            return state, Ask((Question("same", asked.at, messages=messages, logprobs=0),))
        return self._decide(state)

    def _decide(self, state: Checks) -> tuple[Checks, Decision]:
        """Go through the segments that are clear, in their order."""
        while state.open and state.open[0].clear:
            segment, rest = state.open[0], state.open[1:]
            if segment.concludes:
                row = state.row + 1 if segment.agrees else 0
                best = max(state.best, row)
                state = replace(state, answer=segment.snippet, row=row, best=best)
            state = replace(state, open=rest)
            over = state.row >= self.agree
            if over or self._lost(state, segment):
                reason = "converged" if over else "long, and no answers agree"
                text = self.settled if over else self.forced
                steps = state.steps.at(segment.end)
                state = replace(
                    state, steps=steps, tail="", last="", finished=segment.number, open=()
                )
                return state, Close(segment.end, text, reason)
        return state, None

    def _lost(self, state: Checks, segment: Segment) -> bool:
        """Whether a chain is long at the end of a segment, and has not converged."""
        long = state.long is not None and state.long <= segment.end
        return (long or segment.number >= self.segments) and state.best < _AGREEING

    def _long(self, setting: Setting) -> int:
        return max(1, math.ceil(self.share * setting.max_tokens))

    def _snippet(self, text: str) -> str:
        """The last sentences of a text."""
        sentences = [each.strip() for each in _SENTENCE.split(text) if each.strip()]
        return " ".join(sentences[-self.sentences :])


def _with(state: Checks, number: int, segment: Segment) -> Checks:
    """The same with one open segment changed."""
    return replace(state, open=(*state.open[:number], segment, *state.open[number + 1 :]))


def _without_replies(state: Checks, number: int, name: str) -> Checks:
    """The same where the judge has said no of what is still open before a segment.

    Replies come in order, so what was asked before and has no reply yet will get none: the chain
    was taken up behind the question.
    """
    before = [
        replace(each, concludes=bool(each.concludes))
        if name == "answer"
        else replace(each, agrees=bool(each.agrees))
        for each in state.open[:number]
    ]
    return replace(state, open=(*before, *state.open[number:]))
