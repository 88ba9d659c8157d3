"""Refuses requests that a server cannot answer as they are meant, before anything is sent.

What the protocol has no words for would be dropped in silence; here it is named instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tts.backends._openai.decode import Voice
from tts.backends._openai.wire import Api
from tts.backends._steering import in_ids
from tts.backends._structures import in_words, lacking, refuse_structure
from tts.engine.text import Text
from tts.errors import CapabilityMissing, ConfigError, ContextTooLong
from tts.types import Capability, Request, Structure

_MOST_BIAS = 100.0


@dataclass(frozen=True, slots=True)
class Opening:
    """Where a decode starts.

    Attributes:
        api: The interface to ask.
        prompt: Ids or text; for a chat the partial answer.
        bound: Most tokens of the prompt.
        bias: What is added to the logits of tokens, by id.
    """

    api: Api
    prompt: Sequence[int] | str
    bound: int
    bias: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Checks:
    """What is checked against.

    Attributes:
        voice: How the servers are spoken to.
        api: The interface that is set, or `auto`.
        logprobs: Whether the servers give log-probabilities.
        context: Most tokens of prompt and answer.
        structured: Whether the servers hold answers to a structure.
    """

    voice: Voice
    api: str
    logprobs: bool
    context: int
    structured: bool

    def opening(self, request: Request) -> Opening:
        """Where the decode starts.

        Raises:
            ContextTooLong: Prompt and `max_tokens` do not fit the context.
            CapabilityMissing: The server cannot do what is asked.
            ConfigError: Something else about the request cannot be used.
        """
        self._check_always(request)
        if request.structure is not None:
            self._check_structured(request, request.structure)
        voice = self.voice
        if voice.dialect.ids and voice.text is not None:
            return self._ids(request, voice.text)
        self._check_words(request)
        api = self._interface(request)
        partial = request.trajectory.text
        prompt = partial if api == "chat" else request.problem.prompt + partial
        return Opening(api, prompt, voice.bounds.bound(request.problem, request.trajectory))

    def _check_always(self, request: Request) -> None:
        if request.max_tokens < 1:
            raise ConfigError(f"max_tokens is {request.max_tokens}; it must be at least 1.")
        if "" in request.stop:
            raise ConfigError("A stop string is empty.")
        if request.logprobs is not None and not self.logprobs:
            raise CapabilityMissing(
                "Log-probabilities were asked for, and the server is not known to give any.",
                hint="Set backend.logprobs=true if it does.",
            )

    def _check_structured(self, request: Request, structure: Structure) -> None:
        offered = {Capability.STRUCTURED} if self.structured else set()
        refuse_structure(request, offered, "this server")
        self.structure(structure)
        if not self.voice.dialect.vllm and request.problem.prompt:
            raise CapabilityMissing(
                "The answer is to have a structure, and only vLLM servers hold plain completions to"
                " one.",
                hint="Give the problem as Problem.chat(…).",
            )

    def structure(self, structure: Structure) -> None:
        """Refuse a structure that the servers cannot be told.

        Raises:
            CapabilityMissing: They have no words for it.
            ConfigError: It cannot be used.
        """
        dialect = self.voice.dialect
        if not self.structured:
            raise lacking("this server")
        if dialect.vllm and not dialect.guided:
            in_words(structure)
            return
        if structure.after:
            raise CapabilityMissing(
                "structure.after lets other text come first, which only vLLM knows (from 0.11 on).",
                hint="Leave it out, or take a newer vLLM.",
            )
        if not dialect.vllm and structure.json_schema is None:
            raise CapabilityMissing(
                f"structure.{structure.kinds[0]} is known to vLLM servers alone; this one takes"
                " JSON schemas.",
                hint="Say it as structure.json_schema.",
            )

    def _ids(self, request: Request, text: Text) -> Opening:
        ids = text.encode(request.problem, request.trajectory)
        if not ids:
            raise ConfigError(f"The prompt of problem {request.problem.id!r} is empty.")
        if len(ids) + request.max_tokens > self.context:
            raise ContextTooLong(
                f"Problem {request.problem.id!r}: {len(ids)} prompt tokens and"
                f" {request.max_tokens} to generate exceed the context of {self.context} of"
                f" {self.voice.dialect.model}.",
                hint="Lower max_tokens, or shorten the prompt.",
            )
        return Opening("completions", ids, len(ids), _bias(request, text))

    def _check_words(self, request: Request) -> None:
        """Refuse what cannot be said where text is sent."""
        if request.steering is not None:
            raise CapabilityMissing(
                "The request is steered, which goes by token ids, and here text is sent.",
                hint="Use a vLLM server with its tokenizer (backend.tokenizer), or backend=vllm.",
            )
        if request.logprobs:
            raise CapabilityMissing(
                "Log-probabilities of the likeliest tokens need token ids, and here text is sent.",
                hint="Ask for those of the drawn tokens (logprobs=0), or use vLLM's tokenizer.",
            )
        if self.voice.dialect.vllm:
            return
        for name in ("top_k", "min_p"):
            value = getattr(request.sampling, name)
            if value:
                raise ConfigError(
                    f"sampling.{name} is {value}, and only vLLM servers take it.",
                    hint=f"Set sampling.{name}=0.",
                )

    def _interface(self, request: Request) -> Api:
        problem = request.problem
        if problem.messages and self.api == "completions":
            raise ConfigError(
                f"Problem {problem.id!r} is a conversation, and backend.api is 'completions'.",
                hint="Set backend.api=auto, or give the problem as Problem(id, prompt=…).",
            )
        if problem.prompt and self.api == "chat":
            raise ConfigError(
                f"Problem {problem.id!r} is a plain prompt, and backend.api is 'chat'.",
                hint="Set backend.api=auto, or give the problem as Problem.chat(…).",
            )
        if problem.prompt:
            return "completions"
        if request.trajectory.text and not self.voice.dialect.vllm:
            raise CapabilityMissing(
                "This server's chat cannot continue a partial answer.",
                hint="Use vLLM, or plain prompts with backend.api=completions.",
            )
        return "chat"


def _bias(request: Request, text: Text) -> dict[int, float]:
    """What a request's steering adds to logits, as far as the protocol's `logit_bias` can say it.

    The server cuts biases to 100, which decides between any two tokens of a real model.
    """
    if request.steering is None:
        return {}
    changes = in_ids(request.steering, text.inner_id)
    if changes.temperatures:
        raise CapabilityMissing(
            "The request has temperatures of single tokens, and a server has no words for these.",
            hint="Take the bundled engine (backend=vllm), or steer by biases alone.",
        )
    bias = {token: max(value, -_MOST_BIAS) for token, value in changes.bias.items()}
    if any(value > _MOST_BIAS for value in bias.values()):
        raise ConfigError(
            f"A bias of the request's steering exceeds {_MOST_BIAS:g}, the most a server takes."
        )
    return bias
