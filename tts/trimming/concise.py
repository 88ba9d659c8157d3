r"""ConCISE at inference: confidence instead of reflections, and an end when the model is sure.

Source: Qiao et al. 2025, "ConCISE: Confidence-guided Compression in Step-by-step Efficient
Reasoning". Where a step would be a reflection, a phrase of confidence takes its place; once there
is an answer, the model is asked after each step whether it is sure, and thinking ends if it is.
The published figures are of models that were trained on chains made in this way; used like this,
at inference alone, it does less, and a phrase may talk a model out of a useful second look.

Phrases and question are our own. Two things are settled here: phrases are taken in turn, and a
model that reflects straight after `in_a_row` of them is let.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tts.errors import ConfigError
from tts.trimming._steps import Steps, check_steps
from tts.trimming._verdicts import probability, word
from tts.types import Capability
from tts.watching import Ask, Close, Decision, Insert, Pause, Piece, Question, Reply, Setting

PHRASES = (
    "So far this is right, and I go on from here.",
    "I am confident of what I have so far.",
    "This holds, so there is no need to look at it again.",
    "These steps are sound, and I build on them.",
)
"""Phrases that take the place of a reflection."""

ANSWERS = ("\\boxed", "the answer is", "answer:")
"""Text by which an answer is known, in small or capital letters."""

PROBE = "Am I sure that this answer is right? Yes or No:"
"""Question after a step."""


@dataclass(frozen=True, slots=True)
class Course:
    """Where a chain stands.

    Attributes:
        setting: Of the chain.
        steps: Where its reader stands.
        tail: Before the first answer: the end of what was read, as far as it may be part of its
            mark.
        answered: Where the first answer's mark ended; None before that.
        spoken: How many phrases there have been.
        behind: Where the latest of them ends.
        row: How many of them came without a step of the model's own between.
        asked: Where the step ended that is asked about; None if nothing is.
        unread: What has come since, and is read when the reply is there.
    """

    setting: Setting
    steps: Steps = field(default_factory=Steps)
    tail: str = ""
    answered: int | None = None
    spoken: int = 0
    behind: int = 0
    row: int = 0
    asked: int | None = None
    unread: str = ""


@dataclass(frozen=True)
class ConCISE:
    """Replaces reflections by confidence, and closes thinking when the model is confident.

    Args:
        phrases: What takes the place of reflections, in turn; at least one.
        in_a_row: Most phrases without a step of the model's own between, at least 1.
        answers: Marks of an answer; at least one.
        probe: Question to the model after each step that follows an answer.
        confident: Words, in small letters, by which it says that it is sure.
        threshold: Probability of such a word above which thinking is closed, 0 to 1.
    """

    phrases: Sequence[str] = PHRASES
    in_a_row: int = 1
    answers: Sequence[str] = ANSWERS
    probe: str = PROBE
    confident: Sequence[str] = ("yes",)
    threshold: float = 0.5
    requires: frozenset[Capability] = frozenset({Capability.LOGPROBS})

    def __post_init__(self) -> None:
        for name in ("phrases", "answers", "confident"):
            if not getattr(self, name) or not all(getattr(self, name)):
                raise ConfigError(f"concise.{name} is empty, or one of it is.")
        if self.in_a_row < 1:
            raise ConfigError(f"concise.in_a_row is {self.in_a_row}; it must be at least 1.")
        if not self.probe:
            raise ConfigError("concise.probe is empty.", hint="Ask whether the model is sure.")
        if not 0 <= self.threshold <= 1:
            raise ConfigError(
                f"concise.threshold is {self.threshold:g}; it must lie between 0 and 1."
            )

    def begin(self, setting: Setting) -> Course:
        """Nothing has been read.

        Raises:
            ConfigError: The model marks no steps, or no words are known with which it reflects.
        """
        check_steps(setting.thinking, "ConCISE")
        return Course(setting)

    def pause(self, state: Course) -> Pause:
        """Where a reflection or an answer may be; then at each step's end, to ask."""
        thinking = state.setting.thinking
        reflections = (thinking.step + each for each in thinking.reflections)
        stop = (*reflections, *self.answers) if state.answered is None else (thinking.step,)
        return Pause(stop=stop, watch=state.steps.opening)

    def read(self, state: Course, piece: Piece) -> tuple[Course, Decision]:
        """Go on to the first thing to be done."""
        unread = state.unread + piece.text
        if state.asked is not None and piece.injected:
            return replace(state, unread=unread), None
        # A chain that waits writes nothing: if it goes on, no reply will come.
        return self._go_on(replace(state, asked=None, unread=""), unread)

    def hear(self, state: Course, reply: Reply) -> tuple[Course, Decision]:
        """Close, or read on."""
        if reply.question.at != state.asked:
            return state, None
        at, unread = state.asked, state.unread
        state = replace(state, asked=None, unread="")
        sure = probability(reply) if word(reply) in self.confident else 0.0
        if sure > self.threshold:
            reason = f"sure at {sure:.3g}"
            return replace(state, steps=state.steps.at(at)), Close(at, reason=reason)
        return self._go_on(state, unread)

    def _go_on(self, state: Course, text: str) -> tuple[Course, Decision]:
        """Read up to the first thing to be done; what follows it is kept, or will be cut off."""
        thinking, begun = state.setting.thinking, state.steps.read
        marks, steps = state.steps.after(text, thinking)
        answered = self._answered(state, text)
        for mark in marks:
            if mark.kind == "reflection":
                if state.row < self.in_a_row:
                    return self._speak(state, mark.at, answered)
                continue
            if mark.at - len(thinking.step) > state.behind:
                state = replace(state, row=0)
            if answered is not None and answered <= mark.at:
                here, unread = text[: mark.at - begun], text[mark.at - begun :]
                steps = state.steps.after(here, thinking)[1]
                state = replace(state, steps=steps, answered=answered, tail="")
                question = Question("sure", mark.at, text=self.probe, logprobs=0, waits=True)
                return replace(state, asked=mark.at, unread=unread), Ask((question,))
        tail = "" if answered is not None else self._tail(state.tail + text)
        return replace(state, steps=steps, answered=answered, tail=tail), None

    def _tail(self, text: str) -> str:
        """The end of a text that may be the beginning of an answer's mark."""
        longest = max(len(mark) for mark in self.answers)
        return text[max(0, len(text) - longest + 1) :]

    def _speak(self, state: Course, at: int, answered: int | None) -> tuple[Course, Decision]:
        """Put a phrase where a step begins, and forget the step."""
        phrase = self.phrases[state.spoken % len(self.phrases)]
        state = replace(
            state,
            steps=state.steps.at(at),
            tail="",
            answered=answered if answered is not None and answered <= at else None,
            spoken=state.spoken + 1,
            behind=at + len(phrase),
            row=state.row + 1,
        )
        return state, Insert(at, phrase, "a reflection")

    def _answered(self, state: Course, text: str) -> int | None:
        """Where the first answer's mark has ended, after a text; None if there is none yet."""
        if state.answered is not None:
            return state.answered
        known = state.tail + text
        ends = (re.search(re.escape(mark), known, re.IGNORECASE) for mark in self.answers)
        first = min((found.end() for found in ends if found), default=None)
        return None if first is None else state.steps.read - len(state.tail) + first
