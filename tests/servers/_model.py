"""The model of the scripted server: a function from a question and a draw to an answer.

An answer comes a word a token, the end-of-sequence token last. A partial answer is continued with
the words that are left. Knows nothing of HTTP or of any protocol.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

_TOKEN = re.compile(r"\n\n|\S+ ?|\s")
_WORDS = ("alpha", "beta", "été", "日本")


@dataclass(frozen=True)
class Answer:
    """What is to be said in one choice.

    Attributes:
        pieces: Text of the tokens.
        finish: `stop` or `length`.
        stop: The stop string that ended it, if one did.
        thoughts: How many pieces at the start are thinking.
    """

    pieces: tuple[str, ...]
    finish: str
    stop: str | None = None
    thoughts: int = 0

    @property
    def tokens(self) -> int:
        """Generated tokens, with the one that ends an answer."""
        return len(self.pieces) + (self.finish == "stop" and self.stop is None)


def tokens(text: str) -> list[str]:
    """A text as the server counts it."""
    return _TOKEN.findall(text)


def written(question: str, draw: object, words: int = 8) -> str:
    """The whole answer to a question in one draw: some words, and a result of 0 to 3 in a box."""
    rng = random.Random(f"{question}|{draw}")
    pieces = []
    for number in range(words + rng.randint(0, 3)):
        pieces.append(f"{rng.choice(_WORDS)}{rng.randint(0, 99)} ")
        if number % 4 == 3:
            pieces.append("\n\n")
    return "".join([*pieces, f"\\boxed{{{rng.randint(0, 3)}}}"])


def continued(question: str, partial: str, draw: object, cap: int, *, words: int = 8) -> Answer:
    """What follows a partial answer, in at most `cap` tokens."""
    pieces = tuple(tokens(written(question, draw, words))[len(tokens(partial)) :])
    return Answer(pieces[:cap], "length") if cap <= len(pieces) else Answer(pieces, "stop")


def stopped(answer: Answer, stop: Sequence[str]) -> Answer:
    """The answer up to the token in which a stop string is complete."""
    for end in range(1, len(answer.pieces) + 1):
        for string in stop:
            if string in "".join(answer.pieces[:end]):
                return Answer(answer.pieces[:end], "stop", string)
    return answer


def without(answer: Answer) -> Answer:
    """A stopped answer without its stop string, which most servers cut off."""
    assert answer.stop is not None
    *most, last = answer.pieces
    return replace(answer, pieces=(*most, last.partition(answer.stop)[0]))
