"""Any OpenAI-compatible server as a backend, through the `openai` package.

* Behind vLLM, with its tokenizer at hand, prompts and answers are token ids, and all that the
  bundled engine can do is there: exact counts, continuation, seeds, log-probabilities. Elsewhere
  text is sent, and only what the server can do is offered; nothing that it cannot do is dropped in
  silence.
* Making a backend asks each server once what it is, so that a wrong address, key or model is
  refused before anything is spent. A backend belongs to the event loop of its first request.
* A request that a server refused before it replied is repeated, with patience. A reply that was
  lost on its way is continued from where it broke off, or asked again as the same seeded draw;
  where neither can be done it is an error, as another draw would favour short answers.
* A stream that nobody watches is one plain request. If it is left before its reply has come, nobody
  knows what it cost, and it is charged up to its cap.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import asdict
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from tts.backends._openai.batch import Batch
from tts.backends._openai.checks import Checks
from tts.backends._openai.decode import Decode, Voice
from tts.backends._openai.job import Patience, Stats
from tts.backends._openai.limits import Limits, read_settings
from tts.backends._openai.line import Line
from tts.backends._openai.probe import ask_all
from tts.backends._openai.prompts import size
from tts.backends._openai.recall import ask_or_recall
from tts.backends._openai.secrets import Scrubber, read_key
from tts.backends._openai.settings import (
    check_numbers,
    check_words,
    common,
    host_of,
    is_guided,
    limit_field,
    read_urls,
)
from tts.backends._openai.stream import OpenAIStream
from tts.backends._openai.tokenizer import count_with, find_tokenizer
from tts.backends._openai.wire import Dialect
from tts.backends.prices import Prices, read_prices
from tts.engine.text import Reader
from tts.types import Capability, ModelInfo, Problem, Request, Structure, Trajectory

_UNLIMITED = ModelInfo("").context


class OpenAIBackend:
    """Decodes on one or several servers that speak OpenAI's protocol.

    Args:
        model: Its name at the servers.
        base_url: Of a server, or of several that serve the same model; ends in `/v1` most often.
        api_key_env: Name of the environment variable that holds the key; unset is fine for servers
            that want none.
        server: What it is; `auto` asks.
        api: `chat`, `completions`, or `auto`: conversations to the one, plain prompts to the other.
        tokenizer: Path or hub name. By default that of the checkpoint that vLLM serves, if it is
            on this machine.
        seeds: Whether seeds are sent and kept; by default where the server is vLLM.
        logprobs: Whether the server gives log-probabilities; by default where it is vLLM.
        structured: Whether the server holds chats to a JSON schema (`response_format`); by default
            where it is vLLM, which knows other structures as well.
        choices: Most samples that are asked for in one request, at least 1; not used with seeds.
        limits: Requests a second, tokens a minute, requests in flight.
        prices: What the model costs, see `tts.backends.prices`.
        active_params: Weights that multiply an activation for each token, for nominal FLOPs; 0 if
            they are not known.
        context: Most tokens of prompt and answer; vLLM says it itself.
        retries: Most repetitions of a request, at least 0.
        timeout_seconds: Longest wait for the first sign of a reply, and for a whole one.
        stall_seconds: Longest silence within a stream.
        patience_seconds: How long all servers may be away.
        max_tokens_field: The field of the cap in a chat; `auto` is the one that the address knows.
        record: Folder in which it is noted what the servers say of themselves.
        offline: Whether that note is read, and nobody asked: behind a replay cache, which answers.
        clock: Seconds, never going back.
        sleep: Waits for seconds.
        rng: Chance, for the waits between repetitions alone.

    Raises:
        ConfigError: A setting cannot be used, no server answers, or none accepts the key.
        ModelNotFound: A server does not serve the model, or a tokenizer is not there.
    """

    def __init__(
        self,
        model: str,
        base_url: str | Sequence[str] = "https://api.openai.com/v1",
        *,
        api_key_env: str = "OPENAI_API_KEY",
        server: Literal["auto", "vllm", "generic"] = "auto",
        api: Literal["auto", "chat", "completions"] = "auto",
        tokenizer: str | None = None,
        seeds: bool | None = None,
        logprobs: bool | None = None,
        structured: bool | None = None,
        choices: int = 1,
        limits: Limits | Mapping[str, Any] | None = None,
        prices: Prices | Mapping[str, Any] | None = None,
        active_params: int = 0,
        context: int | None = None,
        retries: int = 5,
        timeout_seconds: float = 600.0,
        stall_seconds: float = 60.0,
        patience_seconds: float = 300.0,
        max_tokens_field: Literal["auto", "max_tokens", "max_completion_tokens"] = "auto",
        record: str | Path | None = None,
        offline: bool = False,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: random.Random | None = None,
    ) -> None:
        check_words(server, api, max_tokens_field)
        check_numbers(
            (("choices", choices, 1), ("active_params", active_params, 0), ("retries", retries, 0)),
            (timeout_seconds, stall_seconds, patience_seconds),
            context,
        )
        self._urls = read_urls(base_url)
        most = read_settings(Limits, limits, "backend.limits")
        self._prices = read_prices(prices)
        key = read_key(api_key_env)
        scrub = Scrubber(key)
        servers = ask_or_recall(
            lambda: ask_all(self._urls, model, key, api_key_env, scrub),
            self._urls,
            model,
            record,
            offline=offline,
        )
        self._server = common(servers, server)
        self._api = api
        served = self._server.base or self._server.root
        text = find_tokenizer(tokenizer, served if self._server.vllm else "", model)
        ids = self._server.vllm and text is not None and api != "chat"
        self._dialect = Dialect(
            model,
            vllm=self._server.vllm,
            ids=ids,
            seeds=self._server.vllm if seeds is None else seeds,
            limit=limit_field(max_tokens_field, self._urls),
            guided=self._server.vllm and is_guided(self._server.version),
        )
        self._offers_logprobs = self._server.vllm if logprobs is None else logprobs
        identity = text.identity if ids and text else ""
        self._model = self._info(model, active_params, context, identity)
        line = Line(
            self._urls,
            key,
            most,
            Patience(retries, timeout_seconds, stall_seconds, patience_seconds),
            scrub,
            clock=clock,
            sleep=sleep,
            rng=rng or random.Random(),
        )
        for replica, found in zip(line.router.replicas, servers, strict=True):
            if found is None:
                replica.eject(clock())
        count = size if text is None else count_with(text)
        self._voice = Voice(self._dialect, line, text, count, scrub, choices=choices)
        self._checks = Checks(
            self._voice,
            api,
            self._offers_logprobs,
            self._model.context,
            self._server.vllm if structured is None else structured,
        )
        self._batches: dict[Hashable, Batch] = {}

    def __repr__(self) -> str:
        return f"OpenAIBackend({self._dialect.model!r}, {self._urls!r})"

    def _info(self, model: str, params: int, context: int | None, identity: str) -> ModelInfo:
        most = context or _UNLIMITED
        if identity:  # counts are exact, so that the limit refuses nothing that fits
            most = min(most, self._server.context or _UNLIMITED)
        info = ModelInfo(model, active_params=params, context=most, tokenizer=identity)
        return self._prices.on(info)

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What the servers can do, as found when the backend was made.

        Plain prompts can be continued anywhere, conversations on vLLM alone; so another server
        promises continuation only with `api="completions"`. Where token ids are sent, requests may
        be steered by biases; temperatures of single tokens are refused one by one.
        """
        offers = {
            Capability.CONTINUATION: self._dialect.vllm or self._api == "completions",
            Capability.TOKEN_IDS: self._dialect.ids,
            Capability.LOGPROBS: self._offers_logprobs,
            Capability.SEEDS: self._dialect.seeds,
            Capability.LOGITS_PROCESSORS: self._dialect.ids,
            Capability.STRUCTURED: self._checks.structured,
        }
        return frozenset(capability for capability, there in offers.items() if there)

    @property
    def model(self) -> ModelInfo:
        """The model; without exact counts its context is unlimited, unless it is given."""
        return self._model

    @property
    def stats(self) -> Stats:
        """Counts of what it took."""
        return self._voice.line.stats

    def provenance(self) -> dict[str, Any]:
        """What decides its outputs, as far as the servers tell."""
        return {
            **self.identity(),
            "urls": list(self._urls),
            "version": self._server.version,
            "capabilities": sorted(map(str, self.capabilities)),
            "prices": asdict(self._prices),
        }

    def identity(self) -> Mapping[str, Any]:
        """What decides the distribution of its answers; the same behind another local port."""
        text = self._voice.text
        return {
            "server": "vllm" if self._dialect.vllm else "generic",
            "model": self._dialect.model,
            "root": self._server.root,
            "hosts": sorted({host_of(url) for url in self._urls}),
            "api": "ids" if self._dialect.ids else self._api,
            "tokenizer": text.identity if text else "",
            "chat_template": _digest(text.chat_template) if self._dialect.ids and text else "",
        }

    def prompt_tokens(self, problem: Problem, trajectory: Trajectory) -> int:
        """Tokens of the prompt with the partial answer; an upper bound where text is sent."""
        if self._dialect.ids and self._voice.text is not None:
            return len(self._voice.text.encode(problem, trajectory))
        return self._voice.bounds.bound(problem, trajectory)

    def ends(self, request: Request, tokens: Sequence[int]) -> list[int]:
        """Where the text ends after each of the `tokens` of a request's answer, in characters."""
        if self._voice.text is None:
            raise ValueError("without a tokenizer there are no token ids")
        reader = Reader(
            self._voice.text, self._voice.text.encode(request.problem, request.trajectory)
        )
        return list(accumulate(len(reader.read([token])) for token in tokens))

    def word(self, token: int) -> str:
        """The text of a token by itself; empty for special ones, and without a tokenizer."""
        return "" if self._voice.text is None else self._voice.text.word(token)

    def is_token(self, text: str) -> bool | None:
        """Whether a text is one token of the vocabulary; None without a tokenizer."""
        return None if self._voice.text is None else self._voice.text.token_id(text) is not None

    def check_structure(self, structure: Structure) -> None:
        """Refuse a structure that the servers cannot be told.

        Raises:
            CapabilityMissing: They have no words for it.
            ConfigError: It cannot be used.
        """
        self._checks.structure(structure)

    def open(self, request: Request) -> OpenAIStream:
        """Start a decode at the entry of the returned block."""
        return OpenAIStream(self._voice, self._model, self._launch, request)

    async def start(self) -> None:
        """Make the clients; safe to call again."""
        self._voice.line.start()

    async def aclose(self) -> None:
        """Close all connections; safe to call again."""
        await self._voice.line.aclose()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def _launch(self, request: Request) -> tuple[Decode, Sequence[int] | str]:
        """Start a decode, alone or with others that ask for the same in this turn."""
        self._voice.line.start()
        opening = self._checks.opening(request)
        decode = Decode(
            self._voice, request, opening.api, opening.prompt, opening.bound, opening.bias
        )
        if self._voice.choices > 1 and not decode.streaming and not self._dialect.seeds:
            self._join(decode)
        else:
            decode.start()
        return decode, opening.prompt

    def _join(self, decode: Decode) -> None:
        request = decode.request
        key = (
            request.problem.prompt or request.problem.messages,
            id(request.trajectory) if request.trajectory.segment else None,
            request.sampling,
            request.max_tokens,
            request.logprobs,
            request.stop,
            tuple(sorted(decode.bias.items())),
            request.structure and json.dumps(request.structure.as_dict(), sort_keys=True),
            request.verifying,
        )
        batch = self._batches.get(key)
        if batch is None or len(batch.members) >= self._voice.choices:
            batch = self._batches[key] = Batch(self._voice)
            asyncio.get_running_loop().call_soon(self._flush, key, batch)
        batch.join(decode)

    def _flush(self, key: Hashable, batch: Batch) -> None:
        if self._batches.get(key) is batch:
            del self._batches[key]
        batch.send()


def _digest(template: str | None) -> str:
    return hashlib.sha256((template or "").encode()).hexdigest()[:16]


__all__ = ["Limits", "OpenAIBackend", "Prices", "Stats"]
