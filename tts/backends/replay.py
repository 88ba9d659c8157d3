"""A record of all requests, from which they are answered again: a wrapper of any backend.

A draw is known by the model's identity, prompt, prefix, sampling, stop strings and seed, but not by
its cap: the longest continuation is kept, and a shorter or longer request shares it. What is served
is charged at its nominal cost, and counted as `replayed_tokens`; so a run from the cache has the
same results, budgets and curves, and pays nothing.

* The wrapped backend is started at the first request that the cache cannot answer.
* A request for more than there is gets what is recorded, and the rest is asked for, where the
  backend has the capability `continuation`; elsewhere the whole is asked for again.
* Sampled requests without a seed have no identity: they pass through.
* A stream that was left is recorded as far as it came, since it has been paid for; but not where
  the backend cannot count what it had generated.
* Of equal requests at the same time one is sent; the others wait for it, unless nobody reads it.
* Log-probabilities that are there are handed out, also where they were not asked for.
* Where chunks end is known for streams that were watched when they were recorded; for others if the
  backend offers `ends(request, tokens)`, and else a watched answer comes in one chunk.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tts.backends._replay.archive import Archive, archive_file
from tts.backends._replay.entry import Entry
from tts.backends._replay.plan import CannotCut, Plan, capped, key_of, plan
from tts.backends._replay.stream import ReplayStream
from tts.errors import ConfigError
from tts.protocols import Backend, ChecksStructure, KnowsEnds, KnowsWords, Steers
from tts.types import Capability, ModelInfo, Problem, Request, Structure, Trajectory, Usage


@dataclass(frozen=True, slots=True)
class ReplayStats:
    """What a cache has done since it was opened.

    Attributes:
        hits: Requests answered from the cache alone.
        partial_hits: Requests answered from the cache and continued.
        misses: Requests of which nothing was known.
        paid: What the wrapped backend was asked for.
        nominal: What all requests were charged, as if there were no cache.
    """

    hits: int = 0
    partial_hits: int = 0
    misses: int = 0
    paid: Usage = Usage()
    nominal: Usage = Usage()


class ReplayBackend:
    """Answers from a record what it can, and asks and records the rest.

    Args:
        inner: The backend that is asked.
        path: Folder of the record (the file in it is `replay.sqlite`), or the file itself.
        offline: Whether nothing may be asked: what is not recorded raises `ReplayMiss`, and the
            wrapped backend is never started.

    Attributes:
        archive: The record. Closing it alone leaves the wrapped backend running.
        stats: What the cache has done.

    Raises:
        ConfigError: The file cannot be used; or there is none, and `offline` is true.
    """

    def __init__(self, inner: Backend, path: str | Path, *, offline: bool = False) -> None:
        if offline and not archive_file(path).is_file():
            raise ConfigError(
                f"There is no replay cache {archive_file(path)}, and nothing may be asked offline.",
                hint="Give the folder of a recorded run, or go online.",
            )
        self.inner = inner
        self.offline = offline
        self.archive = Archive(path)
        self.stats = ReplayStats()
        self._identity = ""  # as JSON, once it was needed: weights may have to be read for it
        self.seats: dict[bytes, ReplayStream] = {}  # streams under way, for which equal ones wait

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Those of the inner backend."""
        return self.inner.capabilities

    @property
    def model(self) -> ModelInfo:
        """That of the inner backend."""
        return self.inner.model

    def identity(self) -> Mapping[str, Any]:
        """That of the inner backend."""
        return self.inner.identity()

    def provenance(self) -> dict[str, Any]:
        """That of the inner backend; empty if it has none."""
        ask = getattr(self.inner, "provenance", None)
        return dict(ask()) if ask else {}

    def steering(self, request: Request) -> object:
        """What the wrapped backend would make of a request's steering."""
        return self.inner.steering(request) if isinstance(self.inner, Steers) else None

    def check_structure(self, structure: Structure) -> None:
        """Refuse what the wrapped backend refuses."""
        if isinstance(self.inner, ChecksStructure):
            self.inner.check_structure(structure)

    def prompt_tokens(self, problem: Problem, trajectory: Trajectory) -> int:
        """As the inner backend counts them."""
        return self.inner.prompt_tokens(problem, trajectory)

    def word(self, token: int) -> str:
        """The text of a token; empty if the inner backend does not know it."""
        return self.inner.word(token) if isinstance(self.inner, KnowsWords) else ""

    def is_token(self, text: str) -> bool | None:
        """Whether a text is one token; None if the inner backend does not know it."""
        return self.inner.is_token(text) if isinstance(self.inner, KnowsWords) else None

    def open(self, request: Request) -> ReplayStream:
        """Answer a request, from the record as far as it goes.

        Raises (at entry, or where the record ends):
            ReplayMiss: It is not recorded, and nothing may be asked.
        """
        return ReplayStream(self, request)

    async def start(self) -> None:
        """Nothing yet: the inner backend is started when it is needed."""

    async def aclose(self) -> None:
        """Write what is left, and close the inner backend; safe to call again."""
        self.archive.close()
        await self.inner.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def key(self, request: Request) -> bytes | None:
        """The key of a request; None if it cannot be replayed."""
        self._identity = self._identity or json.dumps(self.inner.identity(), sort_keys=True)
        return key_of(self._identity, request)

    def plan(self, key: bytes, request: Request) -> tuple[bytes, Plan]:
        """How a request is answered, and the key under which that is recorded."""

        def ends(entry: Entry) -> Sequence[int] | None:
            return self.ends_of(request, entry)

        # The grammar of a structure would begin anew with the rest.
        continues = Capability.CONTINUATION in self.capabilities and request.structure is None
        try:
            return key, plan(self.archive.get(key), request, ends, continues=continues)
        except CannotCut as cut:
            # The first tokens get an entry of their own.
            key = capped(key, request.max_tokens)
            known = self.archive.get(key) or cut.shorter
            return key, plan(known, request, ends, continues=continues)

    def ends(self, request: Request, tokens: Sequence[int]) -> Sequence[int]:
        """Where the text ends after each token; empty if the wrapped backend cannot say."""
        return self.inner.ends(request, tokens) if isinstance(self.inner, KnowsEnds) else ()

    def ends_of(self, request: Request, entry: Entry) -> Sequence[int] | None:
        """Where the text of an entry ends after each token, if the inner backend can say."""
        if entry.segment.tokens is None or not isinstance(self.inner, KnowsEnds):
            return None
        return self.inner.ends(request, entry.segment.tokens)

    def book(self, past: bool, paid: Usage | None, nominal: Usage) -> None:
        """Count a request: whether it had a past, and what was paid for the rest, if any."""
        old = self.stats
        self.stats = ReplayStats(
            hits=old.hits + (paid is None),
            partial_hits=old.partial_hits + (past and paid is not None),
            misses=old.misses + (not past),
            paid=old.paid + (paid or Usage()),
            nominal=old.nominal + nominal,
        )
