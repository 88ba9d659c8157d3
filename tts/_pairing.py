"""Whether two models can write on one chain: they must read its prompt and its tags alike.

Vocabularies may differ, and so may chat templates: a conversation is rendered for each model by its
own, and what the other one has written reaches a model as text. Only what the user has rendered
himself, and the tags of thinking, mean the same to both of them or nothing. Backends that do not
know their vocabulary (`tts.protocols.KnowsWords`) are let through.
"""

from __future__ import annotations

import re

from tts.errors import ConfigError
from tts.protocols import Backend, KnowsWords
from tts.types import Problem
from tts.watching import Thinking

_MARK = re.compile(r"<[^<>\s]{1,40}>|\[/?[A-Z_]{2,40}\]")
"""What marks of chat templates look like: `<|im_start|>`, `</s>`, `[INST]`."""


def check_pair(backend: Backend, draft: Backend, thinking: Thinking) -> None:
    """Refuse two models that think differently.

    Raises:
        ConfigError: The end of thinking is a token of one of them only.
    """
    if thinking.end and _differ(thinking.end, backend, draft):
        knows, not_so = _sorted(thinking.end, backend, draft)
        raise ConfigError(
            f"{knows} marks the end of its thinking by its token {thinking.end!r}, which"
            f" {not_so} does not have: on one chain neither would know where the other stands.",
            hint="Take two models of one family, or, if they are not to think, thinking=none.",
        )


def check_prompt(problem: Problem, backend: Backend, draft: Backend) -> None:
    """Refuse a plain prompt that holds marks which only one of two models knows.

    Raises:
        ConfigError: It does.
    """
    for mark in dict.fromkeys(_MARK.findall(problem.prompt)):
        if _differ(mark, backend, draft):
            knows, not_so = _sorted(mark, backend, draft)
            raise ConfigError(
                f"The prompt of problem {problem.id!r} holds {mark!r}, a token of {knows} that"
                f" {not_so} does not have: it was made for the template of one of the two models.",
                hint="Give the problem as a conversation (Problem.chat): each model then gets it"
                " through its own chat template.",
            )


def _differ(text: str, backend: Backend, draft: Backend) -> bool:
    return {_has(text, backend), _has(text, draft)} == {True, False}


def _has(text: str, backend: Backend) -> bool | None:
    return backend.is_token(text) if isinstance(backend, KnowsWords) else None


def _sorted(text: str, backend: Backend, draft: Backend) -> tuple[str, str]:
    """The names of the model that has a token, and of the one that does not."""
    names = (backend.model.name, draft.model.name)
    return names if _has(text, backend) else (names[1], names[0])
