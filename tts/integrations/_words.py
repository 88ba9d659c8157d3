"""Requests and results in the words of OpenTelemetry: pure.

The names are those of its semantic conventions for generative AI (`gen_ai.*`) where it has one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tts.protocols import Backend, Stream
from tts.types import Problem, Request, Result, Trajectory, Usage

Value = str | bool | int | float | tuple[str, ...]
Attributes = Mapping[str, Value]


def operation(problem: Problem) -> str:
    """What a request does."""
    return "chat" if problem.messages else "text_completion"


def asked(backend: Backend, request: Request) -> Attributes:
    """What is asked for, without a word of the prompt."""
    sampling = request.sampling
    return {
        "gen_ai.operation.name": operation(request.problem),
        "gen_ai.provider.name": _provider(backend),
        "gen_ai.request.model": backend.model.name,
        "gen_ai.request.temperature": sampling.temperature,
        "gen_ai.request.top_p": sampling.top_p,
        "gen_ai.request.max_tokens": request.max_tokens,
        **({"gen_ai.request.top_k": sampling.top_k} if sampling.top_k else {}),
        **({"gen_ai.request.stop_sequences": request.stop} if request.stop else {}),
        **of_problem(request.problem),
        "tts.node": request.trajectory.key,
        "tts.child": request.child,
        "tts.verifying": request.verifying,
    }


def of_problem(problem: Problem) -> Attributes:
    """Which problem it is."""
    return {"tts.problem.id": problem.id, "tts.problem.repeat": problem.repeat}


def spent(usage: Usage) -> Attributes:
    """What a request took."""
    return {
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.output_tokens": usage.completion_tokens,
        **_some({"gen_ai.usage.cache_read.input_tokens": usage.cached_tokens}),
        **_some({"tts.usage.replayed_tokens": usage.replayed_tokens}),
    }


def answered(stream: Stream) -> Attributes:
    """How a request ended; `abort` if it was left before its end."""
    finish = stream.trajectory.finish or "abort"
    return {**spent(stream.usage), "gen_ai.response.finish_reasons": (finish,)}


def texts_asked(request: Request) -> Attributes:
    """The words of a prompt, and of the partial answer."""
    problem = request.problem
    turns = [(m.role, m.content) for m in problem.messages] or [("user", problem.prompt)]
    if request.trajectory.text:
        turns.append(("assistant", request.trajectory.text))
    return {"gen_ai.input.messages": json.dumps([_turn(*turn) for turn in turns])}


def texts_answered(request: Request, trajectory: Trajectory) -> Attributes:
    """The words that were added."""
    text = trajectory.text[len(request.trajectory.text) :]
    turn = {**_turn("assistant", text), "finish_reason": trajectory.finish or "abort"}
    return {"gen_ai.output.messages": json.dumps([turn])}


def ended(result: Result) -> Attributes:
    """What came of a problem."""
    score = result.best.score if result.best else None
    return {
        "tts.status": result.status,
        "tts.answered": result.answer is not None,
        "tts.candidates": len(result.candidates),
        **({"tts.limit": result.limit} if result.limit else {}),
        **({"tts.score": score.raw} if score else {}),
        **_some({f"tts.usage.{name}": value for name, value in result.usage.as_dict().items()}),
    }


def _some(values: Mapping[str, int | float]) -> dict[str, int | float]:
    return {name: value for name, value in values.items() if value}


def _turn(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def _provider(backend: object) -> str:
    """What decodes behind all wrappers: `vllm`, `openai`, ..."""
    while hasattr(backend, "inner"):
        backend = backend.inner
    return type(backend).__module__.rpartition(".")[2]
