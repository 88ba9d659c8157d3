"""A reader without a model: it finds an answer likelier where the chain has it already."""

from __future__ import annotations

import math
from dataclasses import replace

from tts.errors import ContextTooLong
from tts.types import ModelInfo, Usage

KNOWN, UNKNOWN = 2.0, 8.0
"""Perplexities of an answer that a sum in the chain came to, and of any other."""


class Copier:
    """Reads; a token is a character. Knows the words that it is given and figures."""

    def __init__(
        self, context: int = 1000, words: str = " \n\\boxed{},.=Therefore, the final answer is"
    ):
        self.model = ModelInfo("copier", context=context)
        self.words = set(words)
        self.asked: list = []
        self.started = self.closed = False

    def spells(self, text):
        return all(character in self.words or character.isdigit() for character in text)

    async def read(self, problem, trajectory, given, *, top=0):
        length = len(problem.prompt) + len(trajectory.text) + len(given.text)
        if length >= self.model.context:
            raise ContextTooLong("too long")
        self.asked.append((trajectory.text, given.text))
        value = "".join(filter(str.isdigit, given.text))
        known = f"={value}\n" in trajectory.text
        logprob = -math.log(KNOWN if known else UNKNOWN)
        usage = Usage(prompt_tokens=length, completion_tokens=1, calls=1)
        return replace(given, logprobs=(logprob,) * len(given.text)), usage

    async def start(self):
        self.started = True

    async def aclose(self):
        self.closed = True
