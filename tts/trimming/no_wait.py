"""NoWait: the words with which a model begins to doubt are forbidden while it thinks.

Source: Wang et al. 2025, "Wait, We Don't Need to 'Wait'!", with its list of words, which often
begin a step. There every token that holds such a word is forbidden, but for some exceptions
("button"); here those that are the word itself, with or without a space before it, in lower case,
capitalised or in capitals. Models trained by distillation may lose accuracy by it.
"""

from __future__ import annotations

from dataclasses import dataclass

from tts.errors import ConfigError
from tts.types import Capability, Steering
from tts.watching import Decision, Pause, Piece, Reply, Setting

WORDS = (
    "wait", "alternatively", "hmm", "but", "however", "alternative", "another", "check",
    "double-check", "oh", "maybe", "verify", "other", "again", "now", "ah", "any",
)  # fmt: skip


@dataclass(frozen=True)
class NoWait:
    """Forbids words while a model thinks.

    Args:
        words: At least one. Of their spellings those that the tokenizer has as one token are
            forbidden; if it has none of all of them, the first request is refused.
    """

    words: tuple[str, ...] = WORDS
    requires: frozenset[Capability] = frozenset({Capability.LOGITS_PROCESSORS})

    def __post_init__(self) -> None:
        object.__setattr__(self, "words", tuple(self.words))
        if not self.words or not all(word.strip() for word in self.words):
            raise ConfigError(
                "no_wait.words holds no words, or an empty one.",
                hint="Set trimming.no_wait.words=[wait].",
            )

    def begin(self, setting: Setting) -> Steering:
        """What is forbidden; it stays the same."""
        return Steering(banned=spellings(self.words))

    def pause(self, state: Steering) -> Pause:
        """Never, but steered."""
        return Pause(steering=state)

    def read(self, state: Steering, piece: Piece) -> tuple[Steering, Decision]:
        """Nothing is to be decided."""
        return state, None

    def hear(self, state: Steering, reply: Reply) -> tuple[Steering, Decision]:
        """It asks nothing."""
        return state, None


def spellings(words: tuple[str, ...]) -> tuple[str, ...]:
    """Each word as it stands, in lower case, capitalised and in capitals, also after a space."""
    cases = [
        case
        for word in map(str.strip, words)
        for case in (word, word.lower(), word.capitalize(), word.upper())
    ]
    return tuple(dict.fromkeys(text for case in cases for text in (case, f" {case}")))
