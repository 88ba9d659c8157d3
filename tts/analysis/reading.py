r"""The steps of a finished chain, and the words with which some of them begin to reflect.

A step is what stands between two delimiters of `Thinking`. One that begins with a word of
`Thinking.reflections` re-checks what was said; if the word announces another way, it is a change of
mind. Knows text only: neither the question nor the right answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tts.analysis.conclusions import Conclusions, LastValue, canonical
from tts.watching import Thinking

Kind = Literal["plain", "recheck", "change"]

OTHER_WAYS = ("Alternatively", "Another way", "Another approach", "On second thought")
"""Words that announce another way; they count as reflections, listed as such or not."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step.

    Attributes:
        start: Where it begins in the thinking part, in characters.
        end: Where it ends, behind its last character that is no space.
        marker: The word with which it begins to reflect; empty for a plain step.
        kind: Whether it goes on (`plain`), looks back (`recheck`) or starts anew (`change`).
        text: What it says, without the marker.
        value: What it concludes, in canonical form; None if nothing.
    """

    start: int
    end: int
    marker: str
    kind: Kind
    text: str
    value: str | None


@dataclass(frozen=True, slots=True)
class Chain:
    """A finished chain.

    Attributes:
        start: Where the thinking part begins in the answer, in characters.
        text: The thinking part.
        steps: In order; none if nothing was thought.
        answer: The final answer in canonical form; None if there is none.
    """

    start: int
    text: str
    steps: tuple[Step, ...]
    answer: str | None

    @property
    def end(self) -> int:
        """Length of the thinking part up to the end of its last step, in characters."""
        return self.steps[-1].end if self.steps else 0

    @property
    def reflections(self) -> int:
        """Steps that begin to reflect."""
        return sum(step.kind != "plain" for step in self.steps)


@dataclass(frozen=True)
class Reader:
    """Reads chains.

    Attributes:
        thinking: How the model marks its thinking, its steps and its reflections. A text that does
            not close its thinking part is thought to its end, and one without tags as a whole, but
            for a last step that only repeats the answer.
        conclude: Says what a step concludes.
        other_ways: Words that announce another way.
    """

    thinking: Thinking = field(default_factory=Thinking)
    conclude: Conclusions = field(default_factory=LastValue)
    other_ways: tuple[str, ...] = OTHER_WAYS

    def read(self, text: str, answer: str | None) -> Chain:
        """Take an answer apart.

        Args:
            text: The whole answer, tags included.
            answer: The final answer that was extracted from it, or None.
        """
        start, end, tagged = thinking_part(text, self.thinking)
        final = None if answer is None else canonical(answer)
        steps = tuple(self._steps(text[start:end]))
        if not tagged and _repeats(steps, final):
            steps, end = steps[:-1], steps[-1].start
        return Chain(start, text[start:end], steps, final)

    def _steps(self, thought: str) -> Iterator[Step]:
        at = 0
        for piece in thought.split(self.thinking.step):
            said = piece.strip()
            if said:
                start = at + piece.index(said)
                yield self._step(said, start)
            at += len(piece) + len(self.thinking.step)

    def _step(self, said: str, start: int) -> Step:
        marker = self._marker(said)
        text = said[len(marker) :].lstrip(" ,.:;!—–-") if marker else said
        kind: Kind = "plain"
        if marker:
            kind = "change" if marker in self.other_ways else "recheck"
        found = self.conclude(text)
        value = None if found is None else canonical(found)
        return Step(start, start + len(said), marker, kind, text, value)

    def _marker(self, said: str) -> str:
        """The longest word with which a step begins to reflect; empty if there is none."""
        words = {*self.thinking.reflections, *self.other_ways}
        found = [word for word in words if re.match(rf"{re.escape(word)}(?!\w)", said, re.I)]
        return max(found, key=len, default="")


def thinking_part(text: str, thinking: Thinking) -> tuple[int, int, bool]:
    """The thinking part of a finished answer.

    Returns:
        Where it begins and ends, in characters; and whether there is a tag that says so.
    """
    bare = text.lstrip()
    opened = bool(thinking.start) and bare.startswith(thinking.start)
    start = len(text) - len(bare) + len(thinking.start) if opened else 0
    end = text.find(thinking.end, start) if thinking.end else -1
    return start, end if end >= 0 else len(text), opened or end >= 0


def _repeats(steps: Sequence[Step], answer: str | None) -> bool:
    """Whether the last step but states the answer which an earlier one has concluded."""
    return (
        answer is not None
        and [step.value for step in steps[-1:]] == [answer]
        and any(step.value == answer for step in steps[:-1])
    )
