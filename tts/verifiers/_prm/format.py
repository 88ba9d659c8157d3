"""What a format is: how a reward model is shown an answer, and where its judgement is read.

A format is pure: a problem, an answer and a tokenizer in, ids and positions out. It knows no engine
and no score. Each stands in a file of its own beside this one; `choice.py` holds the table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from tts.engine.head import Head
from tts.engine.text import Text
from tts.errors import ConfigError, VerifierError
from tts.types import Message, Problem, Trajectory

STEP_END = "\n\n"
"""What ends a step of an answer."""

Aggregation = Literal["prod", "min", "last", "mean", "model"]


@dataclass(frozen=True, slots=True)
class Encoded:
    """An answer as a reward model reads it.

    Attributes:
        ids: Token ids, up to the last place: what follows it cannot change what is read.
        places: Where the score of each step is read, ascending; the last is the last token.
    """

    ids: tuple[int, ...]
    places: tuple[int, ...]

    @classmethod
    def of(cls, ids: Sequence[int], places: Sequence[int]) -> Encoded:
        """An answer that is read at `places`, at least one of them, without what follows."""
        return cls(tuple(ids[: places[-1] + 1]), tuple(places))

    def end(self, length: int) -> Encoded:
        """Its last `length` tokens, with the places that are left."""
        dropped = max(0, len(self.ids) - length)
        places = tuple(place - dropped for place in self.places if place >= dropped)
        return Encoded(self.ids[dropped:], places)


Encode = Callable[[Problem, Trajectory, Text, bool], Encoded]
"""Problem, answer, tokenizer, and whether the whole answer counts as one step."""


@dataclass(frozen=True, slots=True)
class Format:
    """How one family of reward models is asked.

    Attributes:
        name: In the configuration.
        head: Where its values come from.
        labels: Numbers of values in a row that it can read; 0 for a language model.
        aggregation: How its authors make one score of the steps'.
        encode: Makes ids of an answer.
        signs: Of a language model: the tokens that call a step good, and bad.
        exact: Whether the ids are the policy's own: its prompt and its answer, and no more.
        cuts: Whether a text that is too long loses its beginning; otherwise it is refused.
    """

    name: str
    head: Head
    labels: tuple[int, ...]
    aggregation: Aggregation
    encode: Encode
    signs: tuple[str, str] | None = None
    exact: bool = False
    cuts: bool = False


def steps_of(answer: str, whole: bool) -> list[str]:
    """The steps of an answer, without the space around them; an unfinished one counts as a step.

    Args:
        answer: Steps end with a blank line.
        whole: Whether the answer counts as one step.

    Returns:
        At least one step; an empty one if there is nothing.
    """
    pieces = [answer] if whole else answer.split(STEP_END)
    return [piece.strip() for piece in pieces if piece.strip()] or [""]


def question_of(problem: Problem) -> str:
    """What is asked, as text: the prompt, or all that the user has said."""
    said = [message.content for message in problem.messages if message.role == "user"]
    return problem.prompt or STEP_END.join(said)


def conversation_of(problem: Problem) -> list[Message]:
    """The problem as a conversation; a prompt is what the user says."""
    return list(problem.messages) or [Message("user", problem.prompt)]


def id_of(text: Text, mark: str) -> int:
    """The id of a string that must be one token.

    Raises:
        ConfigError: It is none of this tokenizer.
    """
    number = text.token_id(mark)
    if number is None:
        raise ConfigError(
            f"The tokenizer of {text.name} has no token {mark!r}, which this format needs.",
            hint="Take the model's own tokenizer, or another verifier.format.",
        )
    return number


def places_of(ids: Sequence[int], mark: int, expected: int, name: str) -> list[int]:
    """Where a mark stands.

    Args:
        ids: Of the whole text.
        mark: Id of the mark.
        expected: How often it was set.
        name: The mark, for the message.

    Raises:
        VerifierError: It stands there more or less often: the text itself holds it, or the
            tokenizer joins it with its neighbours.
    """
    places = [place for place, token in enumerate(ids) if token == mark]
    if len(places) != expected:
        raise VerifierError(
            f"The mark {name!r} was set {expected} times in what a reward model is to read, and"
            f" stands there {len(places)} times: the problem or the answer holds it."
        )
    return places
