"""The bundled engine as a backend: vLLM in this process's care, tokens in and tokens out.

Run on vLLM 0.32 (CPU build); see `tts.engine.engine` for what of its interface is used.

* Making a backend finds the model, loads its tokenizer and checks every setting, so that bad input
  is refused before anything is started. `start`, the first request, or `async with` starts the
  engine. A backend belongs to the event loop in which it was started.
* A prompt is sent as token ids: those of the prompt (through the model's chat template for a
  conversation), then those of the trajectory's segments. So continuations hit the prefix cache.
* A stream that nobody watches is asked of the engine as one final output.
* A stop string that is a part of a token ends the decode with that token: the text is always what
  the tokens say, so it may run past the stop string by the rest of its last token.
* Log-probabilities are the model's own, whether a request is steered or not. The engine is steered
  by a logits processor of ours, which it cannot have beside speculative decoding.
* A given text is read without the prefix cache; one token is generated then, and thrown away.
* The end-of-sequence token is charged and not kept, so text may be appended to a finished answer.
* Leaving a stream aborts it, and waits for the engine's word on what it had generated.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property
from itertools import accumulate
from types import TracebackType
from typing import Any, Self

from tts.backends._steering import in_ids
from tts.backends.prices import Prices, read_prices
from tts.engine import (
    Engine,
    EngineConfig,
    EngineStats,
    Hardware,
    Progress,
    check,
    detect,
    eos_ids,
    identity_of,
    model_info,
    read_config,
    read_shape,
    resolve,
    resolve_model,
    weights_hash,
)
from tts.engine.noise import is_known, noise_of
from tts.engine.steering import Entry
from tts.engine.text import Reader, Text, tokenizer_identity
from tts.errors import BackendError, CapabilityMissing, ConfigError, ContextTooLong, EngineDead
from tts.types import (
    Capability,
    Chunk,
    FinishReason,
    ModelInfo,
    Problem,
    Request,
    Segment,
    Trajectory,
    Usage,
)

_CAPABILITIES = frozenset(
    {
        Capability.CONTINUATION,
        Capability.TOKEN_IDS,
        Capability.LOGPROBS,
        Capability.SEEDS,
        Capability.LOGITS_PROCESSORS,
    }
)


class VLLMBackend:
    """Decodes with vLLM.

    Args:
        model: A bundled model (`mini-reasoner`), `smollm2`, a local path, or a hub name.
        engine: Settings of the engine, see `EngineConfig`; `model` above has the last word.
        prices: What the model costs, see `tts.backends.prices`.
        report: Told what takes long (a conversion, the start); by default a line on the terminal.
        hardware: The machine; looked at if it is not given.

    Attributes:
        engine: The engine.
        text: The tokenizer.
        eos: Tokens that end an answer.

    Raises:
        ModelNotFound: The name leads to no model.
        Unsupported: The machine cannot run what is asked.
        ConfigError: A setting cannot be used.
    """

    def __init__(
        self,
        model: str = "mini-reasoner",
        engine: EngineConfig | Mapping[str, Any] | None = None,
        *,
        prices: Prices | Mapping[str, Any] | None = None,
        report: Callable[[str], None] | None = None,
        hardware: Hardware | None = None,
    ) -> None:
        report = report or Progress()
        config = read_config(engine).model_copy(update={"model": model})
        hardware = hardware or detect()
        path = resolve_model(model, report)
        shape = read_shape(path)
        resolved = resolve(config, hardware, path, shape)
        check(config, resolved, hardware, shape)
        tokenizer = tokenizer_identity(path)
        info = model_info(path, model, resolved.max_model_len, tokenizer)
        self._model = read_prices(prices).on(info)
        self.text = Text(path, model, tokenizer, trust_remote_code=config.trust_remote_code)
        self.eos = eos_ids(path)
        self._vocabulary = shape.vocabulary
        self.engine = Engine(resolved, report)

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Everything but verifying; beside speculative decoding no logits processors."""
        without = () if self.engine.config.steers else (Capability.LOGITS_PROCESSORS,)
        return _CAPABILITIES.difference(without)

    @property
    def model(self) -> ModelInfo:
        """The model; its context is the engine's `max_model_len`."""
        return self._model

    @property
    def stats(self) -> EngineStats:
        """The engine's own counts."""
        return self.engine.stats

    def provenance(self) -> dict[str, Any]:
        """What decides its outputs: hashes of weights and chat template, and all settings."""
        template = (self.text.chat_template or "").encode()
        return {
            "model": self._model.name,
            "weights": self._weights,
            "tokenizer": self._model.tokenizer,
            "chat_template": hashlib.sha256(template).hexdigest()[:16],
            "engine": {k: v for k, v in self.engine.config.arguments.items() if k != "model"},
        }

    def identity(self) -> Mapping[str, Any]:
        """What decides the distribution of its answers: the checkpoint and the numerics.

        The model's name and path say nothing about that, nor do sizes and schedules.
        """
        checkpoint = identity_of(self.engine.config, self.text, self._weights)
        return {**checkpoint, "eos": sorted(self.eos)}

    @cached_property
    def _weights(self) -> str:
        return weights_hash(self.engine.config.path)

    def ends(self, request: Request, tokens: Sequence[int]) -> list[int]:
        """Where the text ends after each of the `tokens` of a request's answer, in characters."""
        reader = Reader(self.text, self.text.encode(request.problem, request.trajectory))
        return list(accumulate(len(reader.read([token])) for token in tokens))

    def word(self, token: int) -> str:
        """The text of a token by itself; empty for special ones."""
        return self.text.word(token)

    def is_token(self, text: str) -> bool:
        """Whether a text is one token of the vocabulary."""
        return self.text.token_id(text) is not None

    def prompt_tokens(self, problem: Problem, trajectory: Trajectory) -> int:
        """Tokens of the prompt together with the partial answer, exactly."""
        return len(self.text.encode(problem, trajectory))

    def open(self, request: Request) -> VLLMStream:
        """Start a decode at the entry of the returned block."""
        return VLLMStream(self, request)

    def spells(self, text: str) -> bool:
        """Whether the model has tokens for all of a text."""
        return self.text.spells(text)

    async def read(
        self, problem: Problem, trajectory: Trajectory, given: Segment, *, top: int = 0
    ) -> tuple[Segment, Usage]:
        """How likely the model finds a text; see `tts.protocols.Reads`. Cancelling it aborts it.

        Raises:
            ContextTooLong: All of it, and one token more, does not fit the context.
            ConfigError: The text is empty, or something else about it cannot be used.
            EngineDead: The engine died meanwhile; the next request starts it again, once.
            BackendError: The engine failed on it, or was closed meanwhile.
        """
        ids = self.text.encode(problem, trajectory)
        start, new = len(ids), tuple(self.text.ids_in(given))
        ids.extend(new)
        self._check_given(problem, start, new)
        self._check(problem, ids, 1, top)
        await self.engine.start()
        flight = self.engine.peruse(ids, top)
        await flight.ended()
        if flight.values is None:
            error = BackendError(f"The engine of {self._model.name} was closed while it read.")
            error.retryable = False
            raise error
        entries = flight.values[start - 1 :]
        segment = replace(
            given,
            tokens=new,
            tokenizer=self._model.tokenizer,
            logprobs=tuple(entry[token].logprob for token, entry in zip(new, entries, strict=True)),
            top_logprobs=tuple(_likeliest(entry, top) for entry in entries) if top else None,
        )
        return segment, self._model.usage(len(ids), flight.cached_tokens, flight.generated)

    def noise(self, seed: int, places: Sequence[Sequence[int]]) -> list[list[float]] | None:
        """The noise of a draw; see `tts.protocols.KnowsNoise`."""
        return noise_of(seed, places) if is_known() else None

    async def start(self) -> None:
        """Start the engine; safe to call again, and from several tasks at once.

        Raises:
            EngineStartFailed: It did not come up.
        """
        await self.engine.start()

    async def aclose(self) -> None:
        """End the engine and its processes; safe to call again."""
        await self.engine.aclose()

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def check_request(self, request: Request) -> list[int]:
        """The ids to send for a request; a bad one is refused here, as it could kill the engine.

        Raises:
            ContextTooLong: Prompt and `max_tokens` do not fit the context.
            ConfigError: Something else about it cannot be used.
        """
        ids = self.text.encode(request.problem, request.trajectory)
        if request.max_tokens < 1:
            raise ConfigError(f"max_tokens is {request.max_tokens}; it must be at least 1.")
        self._check(request.problem, ids, request.max_tokens, request.logprobs or 0)
        if "" in request.stop:
            raise ConfigError("A stop string is empty.")
        unseeded = request.seed is None and request.sampling.temperature > 0
        if unseeded and self.engine.config.reproducible:
            raise ConfigError(
                f"Problem {request.problem.id!r}: a draw without a seed cannot be repeated.",
                hint="Give the request a seed, or set model.engine.reproducible to false.",
            )
        return ids

    def _check_given(self, problem: Problem, start: int, ids: Sequence[int]) -> None:
        """Refuse a given text that the model cannot read behind `start` tokens."""
        if not start:
            raise ConfigError(f"The prompt of problem {problem.id!r} is empty.")
        if not ids:
            raise ConfigError(f"Problem {problem.id!r}: the text that is to be read is empty.")
        if min(ids) < 0 or max(ids) >= (self._vocabulary or max(ids) + 1):
            raise ConfigError(
                f"Problem {problem.id!r}: a token of the text that is to be read lies outside the"
                f" vocabulary of {self._model.name}.",
                hint="Give the text without tokens, or with this model's own.",
            )

    def _check(self, problem: Problem, ids: Sequence[int], more: int, top: int) -> None:
        """Refuse what does not fit, with `more` tokens to come and `top` likeliest ones wanted."""
        name, context = self._model.name, self._model.context
        if not ids:
            raise ConfigError(f"The prompt of problem {problem.id!r} is empty.")
        if len(ids) + more > context:
            raise ContextTooLong(
                f"Problem {problem.id!r}: {len(ids)} prompt tokens and {more} to generate exceed"
                f" the context of {context} of {name}.",
                hint="Lower max_tokens, shorten the prompt, or raise model.engine.max_model_len.",
            )
        if top > self.engine.config.max_logprobs:
            raise ConfigError(
                f"{top} log-probabilities a token were asked for, and max_logprobs is"
                f" {self.engine.config.max_logprobs}.",
                hint="Raise model.engine.max_logprobs.",
            )

    def steering(self, request: Request) -> Entry:
        """What a request changes in the distribution of the next token.

        Raises:
            CapabilityMissing: The engine cannot be steered.
            ConfigError: What is asked for cannot be done with this tokenizer.
        """
        if request.steering is None:
            return Entry()
        if not self.engine.config.steers:
            raise CapabilityMissing(
                "The request is steered, and vLLM has no logits processors of ours beside"
                " speculative decoding.",
                hint="Take speculative_config out of model.engine.extra, or leave out what steers.",
            )
        changes = in_ids(request.steering, self._known_id, self._vocabulary)
        return Entry(tuple(changes.bias.items()), tuple(changes.temperatures.items()))

    def _known_id(self, text: str) -> int | None:
        """The token that a text is; some tokenizers have more than their model knows."""
        token = self.text.inner_id(text)
        return None if token is None or token >= (self._vocabulary or token + 1) else token


class VLLMStream:
    """One decode under way."""

    __slots__ = (
        "_backend", "_decode", "_delivered", "_finish", "_prompt", "_reader", "_request", "_text",
    )  # fmt: skip

    def __init__(self, backend: VLLMBackend, request: Request) -> None:
        self._backend = backend
        self._request = request
        self._delivered = 0  # tokens whose chunk has been made
        self._text = ""
        self._finish: FinishReason | None = None

    async def __aenter__(self) -> Self:
        backend, request = self._backend, self._request
        self._prompt = backend.check_request(request)
        params = _params(backend.text, request, backend.steering(request))
        self._reader = Reader(backend.text, self._prompt)
        await backend.engine.start()
        self._decode = backend.engine.decode(self._prompt, params)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self._decode.close()
        finally:
            if self._finish is None:
                self._read(self._reason() or "abort")

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        if self._finish is not None:
            raise StopAsyncIteration
        while True:
            await self._decode.news()
            finish = self._reason()
            if finish or (self._request.watch and len(self._decode.tokens) > self._delivered):
                return self._read(finish)

    @property
    def usage(self) -> Usage:
        """The cost so far; where the engine died and nobody had watched, its upper bound."""
        return self._backend.model.usage(
            len(self._prompt), self._decode.cached_tokens, self._generated()
        )

    @property
    def trajectory(self) -> Trajectory:
        """The prefix with what has been delivered so far; with everything after the block."""
        start, decode = self._request.trajectory, self._decode
        kept = self._delivered
        segment = Segment(
            self._text,
            tokens=tuple(decode.tokens[:kept]),
            tokenizer=self._backend.model.tokenizer,
            logprobs=self._logprobs(0, kept),
            top_logprobs=self._top_logprobs(0, kept),
        )
        return start.extend(
            segment,
            child=self._request.child,
            clock=start.clock + self._generated(),
            finish=self._finish,
        )

    def _generated(self) -> int:
        decode = self._decode
        if isinstance(decode.error, EngineDead) and not self._request.watch:
            return self._request.max_tokens
        return len(decode.tokens)

    def _reason(self) -> FinishReason | None:
        """Why the decode ended, in our words; None while it runs."""
        decode = self._decode
        if decode.finish == "stop":
            # For the tokenizer's own end-of-sequence token the engine names no reason.
            ended = decode.stop_reason is None or decode.stop_reason in self._backend.eos
            return "stop" if ended else "step"
        if decode.finish == "length":
            return "length"
        return "abort" if decode.finish else None

    def _read(self, finish: FinishReason | None) -> Chunk:
        """Make a chunk of everything that has arrived and not been delivered."""
        # The token that ended the answer is charged, not kept: text may be appended later.
        kept = len(self._decode.tokens) - (finish == "stop")
        start = self._delivered
        new = self._decode.tokens[start:kept]
        text = self._reader.read(new, final=finish == "stop")
        self._delivered = kept
        self._text += text
        self._finish = finish
        logprobs, tops = self._logprobs(start, kept), self._top_logprobs(start, kept)
        return Chunk(text, tuple(new), finish, logprobs, tops)

    def _logprobs(self, start: int, stop: int) -> tuple[float, ...] | None:
        if self._request.logprobs is None:
            return None
        tokens, entries = self._decode.tokens[start:stop], self._decode.logprobs[start:stop]
        return tuple(entry[token].logprob for token, entry in zip(tokens, entries, strict=True))

    def _top_logprobs(self, start: int, stop: int) -> tuple[Mapping[int, float], ...] | None:
        most = self._request.logprobs
        if not most:
            return None
        return tuple(_likeliest(entry, most) for entry in self._decode.logprobs[start:stop])


def _likeliest(entry: Mapping[int, Any], most: int) -> Mapping[int, float]:
    """The `most` likeliest ids of a position; the engine adds the drawn one if it is none."""
    return {number: each.logprob for number, each in entry.items() if each.rank <= most}


@cache
def _vocabulary() -> tuple[Any, Any]:
    """What vLLM says requests with; found once, as looking is slower than making a request."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams, RequestOutputKind


def _params(text: Text, request: Request, entry: Entry) -> Any:
    """The request in vLLM's words. Without stop strings the engine makes no text at all."""
    SamplingParams, RequestOutputKind = _vocabulary()
    plan = text.stop_plan(request.stop)
    kind = RequestOutputKind.DELTA if request.watch else RequestOutputKind.FINAL_ONLY
    sampling = request.sampling
    # Older versions than the one we were run with hand out every token.
    coarse = request.watch and request.every > 1
    known = "stream_interval" in SamplingParams.__struct_fields__
    return SamplingParams(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        min_p=sampling.min_p,
        max_tokens=request.max_tokens,
        seed=request.seed,
        logprobs=request.logprobs,
        stop=list(plan.strings),
        stop_token_ids=list(plan.ids),
        detokenize=bool(plan.strings),
        include_stop_str_in_output=bool(plan.strings),
        output_kind=kind,
        extra_args=entry.write(),
        **({"stream_interval": request.every} if coarse and known else {}),
    )
