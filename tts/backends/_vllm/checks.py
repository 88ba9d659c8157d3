"""Refuses what the engine cannot do as it is meant, before it is sent.

A bad request can kill the engine, and with it all others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tts.backends._steering import in_ids
from tts.backends._structures import in_words, lacking, refuse_structure
from tts.engine.adapters import Adapter
from tts.engine.grammar import Grammars
from tts.engine.resolved import ResolvedConfig
from tts.engine.steering import Entry
from tts.engine.text import Text
from tts.errors import CapabilityMissing, ConfigError, ContextTooLong
from tts.types import Capability, ModelInfo, Problem, Request, Structure

_ALWAYS = frozenset(
    {Capability.CONTINUATION, Capability.TOKEN_IDS, Capability.LOGPROBS, Capability.SEEDS}
)


@dataclass(frozen=True, slots=True)
class Checks:
    """What requests are held against.

    Attributes:
        text: The tokenizer.
        model: The model; its context is the engine's `max_model_len`.
        vocabulary: Tokens that the model knows; 0 if that is unknown.
        config: Settings of the engine.
        grammars: Looks at grammars for this model.
        adapter: With which the model writes and reads; None for none.
    """

    text: Text
    model: ModelInfo
    vocabulary: int
    config: ResolvedConfig
    grammars: Grammars
    adapter: Adapter | None = None

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Everything but verifying; beside speculative decoding no logits processors."""
        offers = {
            Capability.LOGITS_PROCESSORS: self.config.steers,
            Capability.STRUCTURED: bool(self.config.grammars),
        }
        return _ALWAYS.union(capability for capability, there in offers.items() if there)

    def ids(self, request: Request) -> list[int]:
        """The ids to send for a request.

        Raises:
            ContextTooLong: Prompt and `max_tokens` do not fit the context.
            ConfigError: Something else about it cannot be used.
        """
        ids = self.text.encode(request.problem, request.trajectory)
        if request.max_tokens < 1:
            raise ConfigError(f"max_tokens is {request.max_tokens}; it must be at least 1.")
        self.fits(request.problem, ids, request.max_tokens, request.logprobs or 0)
        if "" in request.stop:
            raise ConfigError("A stop string is empty.")
        unseeded = request.seed is None and request.sampling.temperature > 0
        if unseeded and self.config.reproducible:
            raise ConfigError(
                f"Problem {request.problem.id!r}: a draw without a seed cannot be repeated.",
                hint="Give the request a seed, or set model.engine.reproducible to false.",
            )
        return ids

    def given(self, problem: Problem, start: int, ids: Sequence[int]) -> None:
        """Refuse a given text that the model cannot read behind `start` tokens."""
        if not start:
            raise ConfigError(f"The prompt of problem {problem.id!r} is empty.")
        if not ids:
            raise ConfigError(f"Problem {problem.id!r}: the text that is to be read is empty.")
        if min(ids) < 0 or max(ids) >= (self.vocabulary or max(ids) + 1):
            raise ConfigError(
                f"Problem {problem.id!r}: a token of the text that is to be read lies outside the"
                f" vocabulary of {self.model.name}.",
                hint="Give the text without tokens, or with this model's own.",
            )

    def fits(self, problem: Problem, ids: Sequence[int], more: int, top: int) -> None:
        """Refuse what does not fit, with `more` tokens to come and `top` likeliest ones wanted."""
        name, context = self.model.name, self.model.context
        if not ids:
            raise ConfigError(f"The prompt of problem {problem.id!r} is empty.")
        if len(ids) + more > context:
            raise ContextTooLong(
                f"Problem {problem.id!r}: {len(ids)} prompt tokens and {more} to generate exceed"
                f" the context of {context} of {name}.",
                hint="Lower max_tokens, shorten the prompt, or raise model.engine.max_model_len.",
            )
        if top > self.config.max_logprobs:
            raise ConfigError(
                f"{top} log-probabilities a token were asked for, and max_logprobs is"
                f" {self.config.max_logprobs}.",
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
        if not self.config.steers:
            raise CapabilityMissing(
                "The request is steered, and vLLM has no logits processors of ours beside"
                " speculative decoding.",
                hint="Set model.engine.speculative=null, or leave out what steers.",
            )
        changes = in_ids(request.steering, self._known_id, self.vocabulary)
        return Entry(tuple(changes.bias.items()), tuple(changes.temperatures.items()))

    def structure(self, request: Request) -> Mapping[str, Any] | None:
        """What a request's text must look like, in vLLM's words; None if it may be anything.

        Raises:
            CapabilityMissing: The engine has no grammars.
            ConfigError: The structure cannot be used, or not for this request.
        """
        refuse_structure(request, self.capabilities, f"the engine of {self.model.name}")
        return None if request.structure is None else self.words(request.structure)

    def words(self, structure: Structure) -> Mapping[str, Any]:
        """A structure in vLLM's words. Raises as `structure` does."""
        if Capability.STRUCTURED not in self.capabilities:
            raise lacking(f"the engine of {self.model.name}")
        if self.text.token_id(structure.after) in self.text.special:
            raise ConfigError(
                f"structure.after is {structure.after!r}, a special token of {self.model.name},"
                " which no grammar can see.",
                hint="Name a text that the model writes in plain tokens.",
            )
        words = in_words(structure)
        self.grammars.check(words)
        return words

    def _known_id(self, text: str) -> int | None:
        """The token that a text is; some tokenizers have more than their model knows."""
        token = self.text.inner_id(text)
        return None if token is None or token >= (self.vocabulary or token + 1) else token
