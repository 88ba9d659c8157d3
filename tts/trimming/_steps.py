"""Steps of a chain, and which of them are reflections, found piece by piece.

Pure; knows text only. What is found does not depend on how the text was cut into pieces: text that
may be part of a mark is held back until it is clear what it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tts.errors import ConfigError
from tts.watching import Thinking


@dataclass(frozen=True, slots=True)
class Mark:
    """Something found in a chain.

    Attributes:
        kind: A step has ended `at`, or the one that began `at` is a reflection.
        at: Position in the thinking part, in characters: behind the text between two steps.
    """

    kind: Literal["end", "reflection"]
    at: int


@dataclass(frozen=True, slots=True)
class Steps:
    """Where the reader stands.

    Attributes:
        read: Characters of the thinking part that have been read.
        start: Where the present step began.
        held: The end of what was read, as far as it may be part of a mark.
        opening: Whether it is not clear yet how the present step begins. What the first step
            begins with does not matter: nothing has been said that it could reflect on.
    """

    read: int = 0
    start: int = 0
    held: str = ""
    opening: bool = False

    def after(self, text: str, thinking: Thinking) -> tuple[list[Mark], Steps]:
        """Read on; the marks that are clear now, by position."""
        held, read = self.held + text, self.read + len(text)
        start, opening = self.start, self.opening
        marks: list[Mark] = []
        while True:
            if opening:
                held = held.lstrip()
                reflects = begins_with(held, thinking.reflections)
                if reflects is None:
                    break
                if reflects:
                    marks.append(Mark("reflection", start))
            opening = False
            found = held.find(thinking.step)
            if found < 0:
                held = held[max(0, len(held) - len(thinking.step) + 1) :]
                break
            held = held[found + len(thinking.step) :]
            start, opening = read - len(held), True
            marks.append(Mark("end", start))
        return marks, Steps(read, start, held, opening)

    def at(self, position: int) -> Steps:
        """The reader behind what has been inserted to begin a step at a position."""
        return Steps(position, position)


def begins_with(text: str, words: tuple[str, ...]) -> bool | None:
    """Whether a text begins with one of the words, as a word; None if what follows decides."""
    clear = True
    for word in words:
        if text.startswith(word):
            rest = text[len(word) :]
            if not word[-1].isalpha() or (rest and not rest[0].isalpha()):
                return True
            clear = clear and bool(rest)
        elif word.startswith(text):
            clear = False
    return False if clear else None


def check_steps(thinking: Thinking, name: str) -> None:
    """Refuse a model in which no reflections can be found.

    Args:
        thinking: How the model marks its thinking.
        name: Of the watcher that looks for them.

    Raises:
        ConfigError: No text between steps, or no words with which reflections begin.
    """
    if not thinking.step:
        raise ConfigError(
            f"{name} goes by the steps of a chain, and thinking.step is empty.",
            hint="Set thinking.step to the text between two steps, such as a blank line.",
        )
    if not all(thinking.reflections) or not thinking.reflections:
        raise ConfigError(
            f"{name} looks for reflections, and thinking.reflections is {thinking.reflections}.",
            hint="Name the words with which this model begins to reflect, such as Wait.",
        )
