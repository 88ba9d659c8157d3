"""The words of the protocol: requests as JSON bodies, and the choices of a reply as pieces.

Pure: dictionaries in and out. Knows the two interfaces (chat and plain completions) and what vLLM
adds to them; nothing of time, faults or accounts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tts.backends._structures import in_words
from tts.errors import BackendError
from tts.types import Problem, Request, Structure

Api = Literal["chat", "completions"]
FINISHES = (None, "stop", "length")  # the reasons that leave an answer
PATHS: Mapping[Api, str] = {"chat": "/chat/completions", "completions": "/completions"}


@dataclass(frozen=True, slots=True)
class Dialect:
    """How requests are put.

    Attributes:
        model: Its name at the server.
        vllm: Whether vLLM's own fields are understood.
        ids: Whether prompts and answers are token ids.
        seeds: Whether seeds are sent.
        limit: The field for the most tokens of a chat's answer.
        guided: Whether structures go by the names that vLLM had for them before 0.11.
    """

    model: str
    vllm: bool
    ids: bool
    seeds: bool
    limit: str = "max_tokens"
    guided: bool = False


@dataclass(frozen=True, slots=True)
class Ask:
    """One request in full, once it is known where it starts and how far it may go.

    Attributes:
        api: The interface.
        prompt: Token ids, or text; for a chat the partial answer.
        max_tokens: Most tokens to generate.
        seed: Of the draw, or None.
        stop: Stop strings for the server.
        stop_ids: Tokens that end the decode.
        stream: Whether the reply comes piece by piece.
        n: Samples.
        bias: What is added to the logits of tokens, by id; -100 to 100.
    """

    api: Api
    prompt: Sequence[int] | str
    max_tokens: int
    seed: int | None = None
    stop: tuple[str, ...] = ()
    stop_ids: tuple[int, ...] = ()
    stream: bool = False
    n: int = 1
    bias: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Piece:
    """What a choice of a reply adds.

    Attributes:
        text: Text.
        thought: Text of a thinking part that the server sends apart.
        tokens: Token ids, if they are sent.
        logprobs: Log-probability of each token, if they are sent.
        tops: The likeliest ids of each position with their log-probabilities, if they are sent.
        finish: The server's finish reason.
        stop_reason: What stopped it (vLLM): a string, a token id, or None.
    """

    text: str = ""
    thought: str = ""
    tokens: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    tops: tuple[Mapping[int, float], ...] = ()
    finish: str | None = None
    stop_reason: str | int | None = None


def body(dialect: Dialect, request: Request, ask: Ask) -> dict[str, Any]:
    """The JSON body of a request."""
    sampling = request.sampling
    said: dict[str, Any] = {
        "model": dialect.model,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        **_subject(dialect, request.problem, ask),
    }
    if ask.seed is not None and dialect.seeds:
        said["seed"] = ask.seed
    if ask.n > 1:
        said["n"] = ask.n
    if ask.stream:
        said["stream"] = True
        said["stream_options"] = {"include_usage": True}
        if dialect.vllm:
            said["stream_options"]["continuous_usage_stats"] = True
    if request.logprobs is not None:
        said.update(_logprobs(dialect, ask.api, request.logprobs))
    if dialect.vllm:
        said.update(_vllm(dialect, request, ask))
    if request.structure is not None:
        said.update(_structured(dialect, request.structure))
    return said


def _structured(dialect: Dialect, structure: Structure) -> dict[str, Any]:
    """What the answer must look like; other servers know JSON schemas alone."""
    if not dialect.vllm:
        schema = {"name": "answer", "schema": dict(structure.json_schema or {}), "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}
    words = in_words(structure)
    if dialect.guided:
        return {f"guided_{field}": value for field, value in words.items()}
    return {"structured_outputs": words}


def _subject(dialect: Dialect, problem: Problem, ask: Ask) -> dict[str, Any]:
    """Prompt and cap."""
    if ask.api == "completions":
        return {"prompt": ask.prompt, "max_tokens": ask.max_tokens}
    messages = [{"role": m.role, "content": m.content} for m in problem.messages]
    said: dict[str, Any] = {"messages": messages, dialect.limit: ask.max_tokens}
    if ask.prompt:
        messages.append({"role": "assistant", "content": str(ask.prompt)})
        said |= {"continue_final_message": True, "add_generation_prompt": False}
    return said


def _logprobs(dialect: Dialect, api: Api, most: int) -> dict[str, Any]:
    if api == "chat":
        return {"logprobs": True, "top_logprobs": most}
    # Other servers may take 0 for none.
    return {"logprobs": most if dialect.vllm else max(1, most)}


def _vllm(dialect: Dialect, request: Request, ask: Ask) -> dict[str, Any]:
    """What is said in full, so that the checkpoint's own defaults do not decide it."""
    sampling = request.sampling
    said: dict[str, Any] = {
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "repetition_penalty": 1.0,
    }
    if ask.stop:
        said |= {"stop": list(ask.stop), "include_stop_str_in_output": True}
    if ask.stop_ids:
        said["stop_token_ids"] = list(ask.stop_ids)
    if ask.bias:
        said["logit_bias"] = {str(token): value for token, value in ask.bias.items()}
    if dialect.ids:
        said["return_token_ids"] = True
        if request.logprobs is not None:
            said["return_tokens_as_token_ids"] = True
    return said


def piece(choice: Mapping[str, Any], most: int | None, *, ids: bool) -> Piece:
    """What a choice adds; of a chat or of plain completions, whole or in a stream.

    Args:
        choice: From the reply.
        most: Likeliest tokens that were asked for; None if no log-probabilities were.
        ids: Whether token ids are to be read.

    Raises:
        BackendError: It is no text (a refusal, say).
    """
    text, thought = choice.get("text"), ""
    if text is None:
        said = choice.get("delta")
        if said is None:
            said = choice.get("message") or {}
        if said.get("refusal"):
            raise BackendError("The server refused to answer.")
        text = said.get("content")
        thought = said.get("reasoning_content") or said.get("reasoning") or ""
    values: tuple[float, ...] = ()
    tops: tuple[Mapping[int, float], ...] = ()
    if most is not None and (found := choice.get("logprobs")):
        values, tops = _read_logprobs(found, most)
    return Piece(
        text or "",
        thought,
        tuple(choice.get("token_ids") or ()) if ids else (),
        values,
        tops,
        choice.get("finish_reason"),
        choice.get("stop_reason"),
    )


def _read_logprobs(
    found: Mapping[str, Any], most: int
) -> tuple[tuple[float, ...], tuple[Mapping[int, float], ...]]:
    content = found.get("content")
    if content is not None:  # a chat: one entry a token
        return tuple(entry["logprob"] for entry in content), ()
    values = tuple(found.get("token_logprobs") or ())
    tops = found.get("top_logprobs") or () if most else ()
    return values, tuple(_likeliest(entry, most) for entry in tops)


def _likeliest(entry: Mapping[str, float], most: int) -> Mapping[int, float]:
    """The `most` likeliest ids of a position; the server adds the drawn one if it is none."""
    best = sorted(entry.items(), key=lambda pair: -pair[1])[:most]
    return {int(token.removeprefix("token_id:")): value for token, value in best}
