"""Where the thinking part of an answer begins and ends, read piece by piece, without looking back.

Pure. Text that may be the beginning of the closing tag is held back until it is clear what it is,
so what comes out does not depend on how the text was cut into pieces.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from tts.watching import Thinking

Phase = Literal["before", "thinking", "over"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where an answer stands.

    Attributes:
        phase: Before the thinking part, in it, or after it; an answer that does not begin with the
            opening tag has no such part, and is over it at once.
        begun: Characters of the answer before its thinking part.
        read: Characters of the thinking part that have been given out.
        held: Text that has not been given out yet.
        tokens: Of what came before the thinking part, as far as they have been counted.
    """

    phase: Phase = "before"
    begun: int = 0
    read: int = 0
    held: str = ""
    tokens: int = 0

    @classmethod
    def at_start(cls, thinking: Thinking) -> Place:
        """The place of an empty answer."""
        return cls("before" if thinking.start else "thinking")

    def after(self, text: str, thinking: Thinking, *, final: bool = False) -> tuple[str, Place]:
        """Read on.

        Args:
            text: What comes next.
            thinking: The model's tags.
            final: Whether nothing follows for now, so that nothing is to be held back.

        Returns:
            What of it, and of what was held back, belongs to the thinking part; and the new place.
        """
        place = replace(self, held=self.held + text)
        if place.phase == "before":
            place = place._opened(thinking, final)
        if place.phase != "thinking":
            return "", place
        end = place.held.find(thinking.end) if thinking.end else -1
        if end >= 0:
            return place.held[:end], replace(place, phase="over", read=place.read + end, held="")
        keep = 0 if final else overlap(place.held, thinking.end)
        given = place.held[: len(place.held) - keep]
        rest = place.held[len(given) :]
        return given, replace(place, read=place.read + len(given), held=rest)

    def over(self) -> Place:
        """The same place behind the end of the thinking part."""
        return replace(self, phase="over", held="")

    def _opened(self, thinking: Thinking, final: bool) -> Place:
        """Look for the opening tag."""
        bare = self.held.lstrip()
        if bare.startswith(thinking.start):
            begun = len(self.held) - len(bare) + len(thinking.start)
            return replace(self, phase="thinking", begun=self.begun + begun, held=self.held[begun:])
        if thinking.start.startswith(bare):
            return self
        return replace(self, phase="over", held="")


def overlap(text: str, marker: str) -> int:
    """Length of the longest end of `text` that a marker may begin with, short of all of it."""
    longest = min(len(text), max(0, len(marker) - 1))
    return next((n for n in range(longest, 0, -1) if text.endswith(marker[:n])), 0)
