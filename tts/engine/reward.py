"""Reward models on an engine of their own: token ids in, raw values out.

It knows no problem, no step and no score: what the ids say, and what becomes of the values, is the
business of whoever asks. Three kinds of checkpoint are known, by the architecture that their
`config.json` names:

* a head on every token (`*ForTokenClassification`, `Qwen2ForProcessRewardModel`): one row of values
  a token;
* a head on the last token (`*ForSequenceClassification`, `*ForRewardModel`): one row a text;
* a language model (`*ForCausalLM`), whose judgement is the probability of certain next tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from tts.engine.config import EngineConfig, read_config
from tts.engine.engine import Engine
from tts.engine.hardware import Hardware, detect
from tts.engine.head import Head, check_head
from tts.engine.identity import identity_of
from tts.engine.models import resolve_model
from tts.engine.preflight import check
from tts.engine.progress import Progress
from tts.engine.resolved import resolve
from tts.engine.shape import model_info, read_shape, weights_hash
from tts.engine.stats import EngineStats
from tts.engine.text import Text, tokenizer_identity
from tts.errors import BackendError, ConfigError, ContextTooLong

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MOST_FOLLOWING = 128  # tokens whose log-probability vLLM gives in one request


@dataclass(frozen=True, slots=True)
class Rows:
    """What a head says of a text.

    Attributes:
        values: float32 (n, labels), logits without an activation, of the last n positions.
        cached_tokens: Tokens that came from the prefix cache, and so were not computed.
    """

    values: NDArray[np.float32]
    cached_tokens: int


@dataclass(frozen=True, slots=True)
class Following:
    """What a language model says of the token after a text.

    Attributes:
        logprobs: Log-probability (nats) of each token that was asked about, in that order.
        cached_tokens: Tokens that came from the prefix cache, and so were not computed.
    """

    logprobs: tuple[float, ...]
    cached_tokens: int


class RewardEngine:
    """A reward model on an engine of its own.

    Making one finds the model, loads its tokenizer and checks every setting; `start`, the first
    request, or `async with` starts the engine. It belongs to the event loop in which it was
    started, and is started again once if it dies.

    Args:
        model: A bundled model (`mini-prm`), a local path, or a hub name.
        engine: Settings of the engine, see `EngineConfig`; `model` above has the last word.
        report: Told what takes long (the start); by default a line on the terminal.
        hardware: The machine; looked at if it is not given.

    Attributes:
        path: Directory of the checkpoint.
        head: Where the values come from: every `token`, the last one of the `sequence`, or the
            next word of a `language` model.
        labels: Values in a row; 0 for a language model.
        model: The model, for the accounts; its context is the engine's `max_model_len`.
        text: The tokenizer.
        caches: Whether the beginning of a text that was read before is not computed again.

    Raises:
        ModelNotFound: The name leads to no model, or the weights lack a head.
        Unsupported: The architecture gives no values, or the machine cannot run what is asked.
        ConfigError: A setting cannot be used.
    """

    def __init__(
        self,
        model: str = "mini-prm",
        engine: EngineConfig | Mapping[str, Any] | None = None,
        *,
        report: Callable[[str], None] | None = None,
        hardware: Hardware | None = None,
    ) -> None:
        report = report or Progress()
        config = read_config(engine).model_copy(update={"model": model})
        hardware = hardware or detect()
        self.path = resolve_model(model, report)
        self._shape = read_shape(self.path)
        self.head: Head = check_head(self.path, model)
        self.labels = self._shape.labels
        resolved = resolve(config, hardware, self.path, self._shape, "reward")
        check(config, resolved, hardware, self._shape)
        tokenizer = tokenizer_identity(self.path)
        self.model = model_info(self.path, model, resolved.max_model_len, tokenizer)
        self.text = Text(self.path, model, tokenizer, trust_remote_code=config.trust_remote_code)
        self.caches = bool(resolved.arguments.get("enable_prefix_caching"))
        self._engine = Engine(resolved, report)

    @property
    def stats(self) -> EngineStats:
        """The engine's own counts."""
        return self._engine.stats

    def identity(self) -> Mapping[str, Any]:
        """What decides its values: the checkpoint and the numerics. Of JSON types."""
        return identity_of(self._engine.config, self.text, self._weights)

    @cached_property
    def _weights(self) -> str:
        return weights_hash(self.path)

    async def start(self) -> None:
        """Start the engine; safe to call again, and from several tasks at once.

        Raises:
            EngineStartFailed: It did not come up.
        """
        await self._engine.start()

    async def sleep(self, level: int = 1) -> None:
        """Give the GPU's memory back until `wake`; see `tts.engine.rest.Rest.sleep`."""
        await self._engine.sleep(level)

    async def wake(self) -> None:
        """Go on after `sleep`; see `tts.engine.rest.Rest.wake`."""
        await self._engine.wake()

    async def aclose(self) -> None:
        """End the engine and its processes; safe to call again."""
        await self._engine.aclose()

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def rows(self, ids: Sequence[int], *, reuse: bool = False) -> Rows:
        """What the head says of a text. Cancelling it aborts the request.

        Args:
            ids: The text, at least one token and at most `model.context`.
            reuse: Whether the prefix cache may be read, so that rows of cached tokens, a multiple
                of the cache's block size, are left out. A sequence head always reads it: its one
                row is that of the last position.

        Returns:
            A row for each token; with `reuse` for those at the end that were computed, at least
            one; of a sequence head the last row.

        Raises:
            ConfigError: The ids cannot be read, or the model has no head.
            ContextTooLong: There are too many.
            EngineDead: The engine died meanwhile; the next request starts it again, once.
            BackendError: The engine failed on the request, or was closed meanwhile.
        """
        if self.head == "language":
            raise ConfigError(f"{self.model.name} is a language model, and has no rows of values.")
        self._check(ids, 0)
        from vllm import PoolingParams

        params = PoolingParams(
            task=self._shape.pooling_task,
            use_activation=False,
            skip_reading_prefix_cache=self.head == "token" and not reuse,
        )
        await self._engine.ready()
        flight = self._engine.encode(list(ids), params)
        await flight.ended()
        if flight.values is None or not flight.values.size:
            raise _called_off(self.model.name)
        values = flight.values.reshape(-1, self.labels)
        return Rows(values[-1:] if self.head == "sequence" else values, flight.cached_tokens)

    async def following(self, ids: Sequence[int], tokens: Sequence[int]) -> Following:
        """How likely each of `tokens` is to come next. Cancelling it aborts the request.

        Args:
            ids: The text, at least one token and fewer than `model.context`.
            tokens: Ids to ask about, at least one and at most 128.

        Raises:
            ConfigError: The ids cannot be read, or the model is no language model.
            ContextTooLong: There are too many.
            EngineDead: The engine died meanwhile; the next request starts it again, once.
            BackendError: The engine failed on the request, or was closed meanwhile.
        """
        if self.head != "language":
            raise ConfigError(f"{self.model.name} is no language model: it names no next token.")
        self._check(ids, 1)
        self._check_vocabulary(tokens)
        asked = list(dict.fromkeys(tokens))
        if not 1 <= len(asked) <= _MOST_FOLLOWING:
            raise ConfigError(f"{len(asked)} tokens were asked about; it must be 1 to 128.")
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        params = SamplingParams(
            temperature=0.0,
            max_tokens=1,
            logprob_token_ids=asked,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        await self._engine.ready()
        flight = self._engine.decode(list(ids), params)
        await flight.ended()
        if not flight.logprobs:
            raise _called_off(self.model.name)
        entry = flight.logprobs[0]
        return Following(tuple(entry[t].logprob for t in tokens), flight.cached_tokens)

    def _check(self, ids: Sequence[int], more: int) -> None:
        """Refuse what could kill the engine, and with it all other requests."""
        if not ids:
            raise ConfigError("There is no token to judge.")
        context = self.model.context
        if len(ids) + more > context:
            raise ContextTooLong(
                f"A text of {len(ids)} tokens is too long for {self.model.name}: its engine takes"
                f" {context - more}.",
                hint="Raise verifier.engine.max_model_len, or judge shorter answers.",
            )
        self._check_vocabulary(ids)

    def _check_vocabulary(self, ids: Sequence[int]) -> None:
        if ids and not (min(ids) >= 0 and max(ids) < self._shape.vocabulary):
            raise ConfigError(
                f"A token id lies outside the vocabulary of {self.model.name}, which has"
                f" {self._shape.vocabulary} tokens.",
                hint="Encode the text with this model's own tokenizer.",
            )


def _called_off(name: str) -> BackendError:
    error = BackendError(f"The engine of {name} was closed while it worked.")
    error.retryable = False
    return error
