"""How long a prompt is: exactly where the tokenizer is at hand, else an upper bound that learns.

A token spells at least one byte of UTF-8, so bytes bound the tokens of a text. What a chat template
adds is not in the text; an allowance a message stands for it, and grows when a server counts more.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable

from tts.types import Problem, Trajectory

_PER_MESSAGE = 32
_REMEMBERED = 8192


class PromptBounds:
    """Upper bounds of prompts in tokens, from their text and from what the server has counted."""

    __slots__ = ("_exact", "_per_message", "_slack")

    def __init__(self) -> None:
        self._exact: OrderedDict[Hashable, int] = OrderedDict()
        self._per_message = _PER_MESSAGE
        self._slack = 0  # tokens that continuing adds beyond those of the partial answer

    def bound(self, problem: Problem, trajectory: Trajectory) -> int:
        """Most tokens of the prompt together with the partial answer."""
        return self._prompt(problem) + self._partial(trajectory)

    def learn(self, problem: Problem, trajectory: Trajectory, tokens: int) -> None:
        """The server has counted so many tokens of prompt and partial answer."""
        partial = self._partial(trajectory)
        over = tokens - self._prompt(problem) - partial
        if partial:
            self._slack += max(0, over)
            return
        if over > 0:
            self._per_message += math.ceil(over / _messages(problem))
        self._exact[_key(problem)] = max(tokens, self._exact.get(_key(problem), 0))
        if len(self._exact) > _REMEMBERED:
            self._exact.popitem(last=False)

    def _prompt(self, problem: Problem) -> int:
        exact = self._exact.get(_key(problem))
        if exact is not None:
            return exact
        texts = [problem.prompt, *(message.content for message in problem.messages)]
        return sum(map(size, texts)) + self._per_message * _messages(problem)

    def _partial(self, trajectory: Trajectory) -> int:
        length = size(trajectory.text)
        return length + self._slack if length else 0


def size(text: str) -> int:
    """Bytes of a text in UTF-8."""
    return len(text.encode("utf-8", "surrogatepass"))


def _key(problem: Problem) -> Hashable:
    return problem.prompt or problem.messages


def _messages(problem: Problem) -> int:
    return max(1, len(problem.messages))
