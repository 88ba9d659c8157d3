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
* Log-probabilities are the model's own, whether a request is steered or not; under a structure they
  are shares of what it allows, as the grammar takes the rest away first. The engine is steered
  by a logits processor of ours, which it cannot have beside speculative decoding.
* A given text is read without the prefix cache; one token is generated then, and thrown away.
* The end-of-sequence token is charged and not kept, so text may be appended to a finished answer.
* Leaving a stream aborts it, and waits for the engine's word on what it had generated.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property
from itertools import accumulate
from typing import Any, Self
from weakref import WeakSet

from tts.backends._vllm.checks import Checks
from tts.backends._vllm.params import likeliest
from tts.backends._vllm.stream import VLLMStream
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
from tts.engine.adapters import chosen
from tts.engine.grammar import Grammars
from tts.engine.noise import is_known, noise_of
from tts.engine.rest import When
from tts.engine.steering import Entry
from tts.engine.text import Reader, Text, tokenizer_identity
from tts.errors import BackendError
from tts.types import (
    Capability,
    ModelInfo,
    Problem,
    Request,
    Segment,
    Structure,
    Trajectory,
    Usage,
)


class VLLMBackend:
    """Decodes with vLLM.

    Args:
        model: A bundled model (`mini-reasoner`), `smollm2`, a local path, or a hub name.
        engine: Settings of the engine, see `EngineConfig`; `model` above has the last word.
        prices: What the model costs, see `tts.backends.prices`.
        report: Told what takes long (a conversion, the start); by default a line on the terminal.
        hardware: The machine; looked at if it is not given.
        adapter: Name of the LoRA adapter, among those in `engine.lora`, with which the model writes
            and reads; None for none.

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
        adapter: str | None = None,
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
        self._plain = self._model = read_prices(prices).on(info)
        self.text = Text(path, model, tokenizer, trust_remote_code=config.trust_remote_code)
        self.eos = eos_ids(path)
        grammars = Grammars(self.text, shape.vocabulary, resolved)
        self._checks = Checks(self.text, self._model, shape.vocabulary, resolved, grammars)
        self.engine = Engine(resolved, report)
        self._users: WeakSet[VLLMBackend] = WeakSet()  # of the engine, those not closed
        self._wear(adapter)

    def adapter(self, name: str | None) -> Self:
        """The same model with another LoRA adapter, on the same engine.

        Each adapter has an identity and cached prefixes of its own. The engine ends when all that
        share it have been closed, or when one that was entered by `async with` is left.

        Args:
            name: One of those in `engine.lora`; None for the model without any.

        Raises:
            ConfigError: The engine has no such adapter.
        """
        other = copy(self)
        other._wear(name)
        return other

    def _wear(self, name: str | None) -> None:
        config = self.engine.config
        found = chosen(config.adapters, name, config.place)
        self._model = self._plain if found is None else found.on(self._plain)
        self._checks = replace(self._checks, adapter=found, model=self._model)
        self._users.add(self)

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Everything but verifying; beside speculative decoding no logits processors."""
        return self._checks.capabilities

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
        adapter = self._checks.adapter
        return {
            "model": self._model.name,
            "weights": self._weights,
            "tokenizer": self._model.tokenizer,
            "chat_template": hashlib.sha256(template).hexdigest()[:16],
            "engine": {k: v for k, v in self.engine.config.arguments.items() if k != "model"},
            **({"adapter": {"name": adapter.name, "weights": adapter.digest}} if adapter else {}),
        }

    def identity(self) -> Mapping[str, Any]:
        """What decides the distribution of its answers: the checkpoint and the numerics.

        The model's name and path say nothing about that, nor do sizes and schedules.
        """
        adapter = self._checks.adapter
        weights = self._weights if adapter is None else f"{self._weights}+{adapter.digest}"
        checkpoint = identity_of(self.engine.config, self.text, weights)
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
        return VLLMStream(self.engine, self._checks, self.eos, request)

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
        self._checks.given(problem, start, new)
        self._checks.fits(problem, ids, 1, top)
        await self.engine.ready()
        flight = self.engine.peruse(ids, top, self._checks.adapter)
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
            top_logprobs=tuple(likeliest(entry, top) for entry in entries) if top else None,
        )
        return segment, self._model.usage(len(ids), flight.cached_tokens, flight.generated)

    def noise(self, seed: int, places: Sequence[Sequence[int]]) -> list[list[float]] | None:
        """The noise of a draw; see `tts.protocols.KnowsNoise`."""
        drafted = "speculative_config" in self.engine.config.arguments  # other draws are made then
        return noise_of(seed, places) if is_known() and not drafted else None

    async def start(self) -> None:
        """Start the engine; safe to call again, and from several tasks at once.

        Raises:
            EngineStartFailed: It did not come up.
        """
        await self.engine.start()

    async def pause(self, when: When = "drained") -> None:
        """Send nothing new to the engine: requests wait until `resume`.

        Args:
            when: `drained`: those in flight go on to their ends, which is waited for; `now`: they
                stand still where they are, and go on from there. Cached prefixes stay in any case.

        Raises:
            ConfigError: There is no such way, or the engine is asleep.
            EngineDead: It has died meanwhile; what waits is not lost.
        """
        await self.engine.pause(when)

    async def resume(self) -> None:
        """Go on after `pause`; does nothing otherwise."""
        await self.engine.resume()

    async def sleep(self, level: int = 1) -> None:
        """Pause, and give the GPU's memory back; needs `enable_sleep_mode` in the settings.

        Args:
            level: 1 moves the weights to main memory, 2 throws them away and reads them again.

        Raises:
            Unsupported: The engine lives on a processor, where this frees nothing.
            ConfigError: It was not started for it, or is not running.
        """
        await self.engine.sleep(level)

    async def wake(self) -> None:
        """Take the memory again and go on, after `sleep`; does nothing otherwise.

        Raises:
            ConfigError: Another engine has taken the memory meanwhile; this one sleeps on.
        """
        await self.engine.wake()

    async def aclose(self) -> None:
        """End the engine and its processes, once all that share it are closed; safe to repeat."""
        self._users.discard(self)
        if not self._users:
            await self.engine.aclose()

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._users.clear()
        await self.aclose()

    def steering(self, request: Request) -> Entry:
        """What a request changes in the distribution of the next token.

        Raises:
            CapabilityMissing: The engine cannot be steered.
            ConfigError: What is asked for cannot be done with this tokenizer.
        """
        return self._checks.steering(request)

    def check_structure(self, structure: Structure) -> None:
        """Refuse a structure that the engine could not hold the model to.

        Raises:
            CapabilityMissing: It has no grammars.
            ConfigError: The structure cannot be used.
        """
        self._checks.words(structure)
