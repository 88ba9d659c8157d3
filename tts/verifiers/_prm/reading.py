"""Has answers read by a reward model, each token once where that can be had, and in a few slots.

The rows of tokens that an engine takes from its prefix cache do not come back: scores of earlier
steps are then remembered ones. Where one is not (it was forgotten, or another request that began
with the same tokens is still under way) the text is read again as a whole.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tts.engine.head import Head
from tts.engine.reward import Following, Rows
from tts.engine.text import Text
from tts.errors import VerifierError
from tts.types import ModelInfo
from tts.verifiers._prm.format import Encoded
from tts.verifiers._prm.memory import Memory, keys_of
from tts.verifiers._prm.together import together


class Source(Protocol):
    """A reward model, in this process or on a server. See `tts.engine.RewardEngine`."""

    @property
    def head(self) -> Head:
        """Where its values come from."""
        ...

    @property
    def labels(self) -> int:
        """Values in a row; 0 for a language model."""
        ...

    @property
    def model(self) -> ModelInfo:
        """The model, for the accounts."""
        ...

    @property
    def text(self) -> Text:
        """Its tokenizer."""
        ...

    @property
    def caches(self) -> bool:
        """Whether the beginning of a text that was read before is not computed again."""
        ...

    def identity(self) -> Mapping[str, Any]:
        """What decides its values."""
        ...

    async def start(self) -> None:
        """Load it."""
        ...

    async def aclose(self) -> None:
        """Release everything."""
        ...

    async def rows(self, ids: Sequence[int], *, reuse: bool = False) -> Rows:
        """Values of the last tokens; of all without `reuse`."""
        ...

    async def following(self, ids: Sequence[int], tokens: Sequence[int]) -> Following:
        """Log-probabilities of next tokens."""
        ...


@dataclass(slots=True)
class Stats:
    """What it took.

    Attributes:
        requests: Sent to the model.
        remembered: Answers for which none was needed.
        repeated: Answers that had to be read again as a whole; charged once.
    """

    requests: int = 0
    remembered: int = 0
    repeated: int = 0


class Reader:
    """Reads answers.

    Args:
        source: The model.
        signs: For a language model: ids of the words for a good and a bad step.
        bounded: Whether scores are probabilities; else they are the values themselves.
        slots: Most requests at once.
    """

    def __init__(
        self, source: Source, signs: tuple[int, int] | None, bounded: bool, slots: int
    ) -> None:
        self.stats = Stats()
        self._source = source
        self._signs = signs
        self._bounded = bounded
        self._most = slots
        self._memory = Memory()
        self.reset()

    def reset(self) -> None:
        """Let go of the event loop, so that another one can be used."""
        self._slots = asyncio.Semaphore(self._most)

    async def read(self, encoded: Encoded) -> tuple[float, ...]:
        """The score at each place of an answer.

        Raises:
            BackendError: The model failed.
            VerifierError: It gave what is no number.
        """
        keys = dict(zip(encoded.places, keys_of(encoded.ids, encoded.places), strict=True))
        known = self._known(keys)
        missing = {place: key for place, key in keys.items() if place not in known}
        if not missing:
            self.stats.remembered += 1
            return tuple(known[place] for place in keys)
        if self._signs is None:
            fresh = await self._rows(encoded, missing)
        else:
            fresh = await self._words(encoded.ids, missing, self._signs)
        # Another request may have brought a score meanwhile: the first one stands, so that rounding
        # in batches of other sizes never gives one text two scores.
        known = fresh | known | self._known(missing)
        for place, key in keys.items():
            self._memory.put(key, known[place])
        return tuple(known[place] for place in keys)

    def _known(self, keys: Mapping[int, bytes]) -> dict[int, float]:
        """What is remembered of the scores at some places."""
        found = {place: self._memory.get(key) for place, key in keys.items()}
        return {place: score for place, score in found.items() if score is not None}

    async def _rows(self, encoded: Encoded, missing: Mapping[int, bytes]) -> dict[int, float]:
        """Scores from the rows of a head."""
        rows = await self._ask(encoded.ids, reuse=True)
        # Other requests may have brought meanwhile what this one lacks.
        scores = self._known(missing) | self._scores(encoded, rows)
        if missing.keys() <= scores.keys():
            return scores
        self.stats.repeated += 1
        return self._scores(encoded, await self._ask(encoded.ids, reuse=False))

    async def _ask(self, ids: Sequence[int], *, reuse: bool) -> Rows:
        async with self._slots:
            self.stats.requests += 1
            return await self._source.rows(ids, reuse=reuse)

    def _scores(self, encoded: Encoded, rows: Rows) -> dict[int, float]:
        first = len(encoded.ids) - len(rows.values)
        return {p: self._score(rows.values[p - first]) for p in encoded.places if p >= first}

    async def _words(
        self, ids: Sequence[int], missing: Iterable[int], signs: tuple[int, int]
    ) -> dict[int, float]:
        """Scores from the word that a language model expects."""
        parts = [ids[: place + 1] for place in missing]
        answers = await together([self._following(part, signs) for part in parts])
        return {
            place: self._score((said.logprobs[1], said.logprobs[0]))
            for place, said in zip(missing, answers, strict=True)
        }

    async def _following(self, ids: Sequence[int], signs: tuple[int, int]) -> Following:
        async with self._slots:
            self.stats.requests += 1
            return await self._source.following(ids, signs)

    def _score(self, row: Any) -> float:
        """A score of the values of a row: the logit of a good end, or those of a bad and a good."""
        values = [float(value) for value in row]
        logit = values[0] if len(values) == 1 else values[1] - values[0]
        if math.isnan(logit):
            raise VerifierError(f"{self._source.model.name} gave what is no number.")
        return _sigmoid(logit) if self._bounded else logit


def _sigmoid(logit: float) -> float:
    return math.exp(min(logit, 0.0)) / (1 + math.exp(-abs(logit)))
