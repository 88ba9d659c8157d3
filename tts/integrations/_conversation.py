"""Conversations and settings of Inspect, as ours."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace

from inspect_ai.model import ChatMessage, ChatMessageAssistant, GenerateConfig

from tts.errors import ConfigError
from tts.solve import Setup
from tts.types import Message, Problem, Role, Sampling

_ROLES: dict[str, Role] = {"system": "system", "user": "user", "assistant": "assistant"}
_INSPECTS = frozenset(
    {
        "adaptive_connections",
        "attempt_timeout",
        "cache",
        "cache_prompt",
        "fail_on_refusal",
        "internal_tools",
        "max_connections",
        "max_retries",
        "max_tool_output",
        "parallel_tool_calls",
        "reasoning_history",
        "stream_idle_timeout",
        "system_message",
        "timeout",
    }
)  # what Inspect sees to by itself, or what means nothing without tools
_OURS = frozenset({"max_tokens", "seed", "temperature", "top_k", "top_p"})
_MEANS_NOTHING = {"num_choices": 1, "best_of": 1}


def messages_of(conversation: Sequence[ChatMessage]) -> tuple[Message, ...]:
    """A conversation as ours.

    Raises:
        ConfigError: It holds something other than text, or calls of tools.
    """
    return tuple(_message(message) for message in conversation)


def _message(message: ChatMessage) -> Message:
    role = _ROLES.get(message.role)
    if role is None or (isinstance(message, ChatMessageAssistant) and message.tool_calls):
        raise ConfigError(
            "The conversation holds calls of tools, which no strategy can follow.",
            hint="Choose a benchmark without tools.",
        )
    parts = [] if isinstance(message.content, str) else message.content
    for part in parts:
        if part.type != "text":
            raise ConfigError(
                f"A message of the {message.role} holds content of the type {part.type!r};"
                " strategies read text alone.",
                hint="Choose a benchmark that asks in text.",
            )
    return Message(role, message.text)


def problem_of(messages: tuple[Message, ...], place: str, epoch: int, ordinal: int) -> Problem:
    """A conversation as a problem.

    Args:
        messages: The conversation.
        place: What the sample is called; empty outside of samples.
        epoch: Of the sample, from 1: each draws anew.
        ordinal: How often the very same has been asked in this sample before; such a question is
            one of its own, so that it draws anew as well.
    """
    text = json.dumps([[message.role, message.content] for message in messages])
    digest = hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
    name = f"{place}/{digest}" if place else digest
    name = f"{name}/{ordinal}" if ordinal else name
    return Problem(name, messages=messages, repeat=epoch - 1)


def configured(setup: Setup, config: GenerateConfig) -> Setup:
    """A setup under the settings of a request.

    Raises:
        ConfigError: One of them cannot be honoured, or has an impossible value.
    """
    for name, value in config.model_dump().items():
        if not value or name in _OURS | _INSPECTS or _MEANS_NOTHING.get(name) == value:
            continue
        raise ConfigError(
            f"{name} is {value!r}; a strategy cannot honour it.",
            hint=f"Leave it out; what counts is {', '.join(sorted(_OURS))}.",
        )
    return replace(
        setup,
        sampling=_sampling(setup.sampling, config),
        max_tokens=setup.max_tokens if config.max_tokens is None else config.max_tokens,
        seed=setup.seed if config.seed is None else config.seed,
    )


def _sampling(sampling: Sampling, config: GenerateConfig) -> Sampling:
    given = {name: getattr(config, name) for name in ("temperature", "top_p", "top_k")}
    try:
        return replace(sampling, **{k: v for k, v in given.items() if v is not None})
    except ValueError as error:
        raise ConfigError(f"{error}.") from error
