"""Replies that are their own answer: a letter, a summary, a translation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WholeText:
    """The whole reply is the answer. Implements `tts.tasks.Answers`.

    Votes count replies that agree word by word, so for anything longer than a label a verifier or
    a selector that compares texts chooses better.

    Attributes:
        landing: Text that makes a model state its result, whatever came before; empty, as there is
            no result apart from the reply.
        after: What comes after the last of these marks is the reply (`</think>`, say); a text
            without one has no answer yet. Empty for all of it.
        ignore_case: Whether 'Paris' is 'paris'.
    """

    landing: str = ""
    after: str = ""
    ignore_case: bool = True

    def extract(self, text: str) -> str | None:
        """The reply without the space around it, or None if there is nothing."""
        if self.after and self.after not in text:
            return None
        return (text.rpartition(self.after)[2] if self.after else text).strip() or None

    async def key(self, answer: str) -> str:
        """The words of the reply, one space apart."""
        words = " ".join(answer.split())
        return words.casefold() if self.ignore_case else words

    async def equal(self, answer: str, gold: str) -> bool:
        """Whether two replies have the same key."""
        return await self.key(answer) == await self.key(gold)
