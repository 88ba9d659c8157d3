"""A verifier's surroundings, with a look at what it pays for one judgement."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Hashable, Mapping, MutableMapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tts.protocols import (
    AnswerFormat,
    Backend,
    Charge,
    ChecksStructure,
    KnowsEnds,
    KnowsWords,
    Steers,
    Stream,
    VerifierContext,
)
from tts.types import Capability, ModelInfo, Problem, Request, Structure, Trajectory, Usage


@dataclass
class Recording:
    """Another context, and what is paid in it. See `tts.protocols.VerifierContext`.

    Attributes:
        inner: The other one.
        paid: In verifier terms; complete when no block of it is open.
    """

    inner: VerifierContext
    paid: Usage = field(default=Usage())

    @property
    def backend(self) -> Backend:
        """That of the other context; what is asked of it is recorded."""
        return _Recorded(self.inner.backend, self)

    @property
    def answers(self) -> AnswerFormat:
        """Those of the other context."""
        return self.inner.answers

    @property
    def memory(self) -> MutableMapping[Hashable, Any]:
        """That of the other context."""
        return self.inner.memory

    @asynccontextmanager
    async def work(self, bound: Usage) -> AsyncIterator[Charge]:
        """A block of the other context; what it owes is recorded."""
        async with self.inner.work(bound) as charge:
            tab = _Tab(charge, bound)
            try:
                yield tab
            finally:
                self.paid += tab.owed

    def rng(self, *names: Hashable) -> random.Random:
        """That of the other context."""
        return self.inner.rng(*names)


@dataclass
class _Tab:
    """What one block of work owes: its bound until it says better."""

    charge: Charge
    owed: Usage

    def settle(self, usage: Usage) -> None:
        """Pass it on, and remember it."""
        self.owed = usage
        self.charge.settle(usage)


@dataclass(frozen=True)
class _Recorded:
    """A backend whose streams are recorded. See `tts.protocols.Backend`."""

    inner: Backend
    record: Recording

    @property
    def capabilities(self) -> frozenset[Capability]:
        return self.inner.capabilities

    @property
    def model(self) -> ModelInfo:
        return self.inner.model

    def identity(self) -> Mapping[str, Any]:
        return self.inner.identity()

    def prompt_tokens(self, problem: Problem, trajectory: Trajectory) -> int:
        return self.inner.prompt_tokens(problem, trajectory)

    def ends(self, request: Request, tokens: Sequence[int]) -> Sequence[int]:
        return self.inner.ends(request, tokens) if isinstance(self.inner, KnowsEnds) else ()

    def word(self, token: int) -> str:
        return self.inner.word(token) if isinstance(self.inner, KnowsWords) else ""

    def is_token(self, text: str) -> bool | None:
        return self.inner.is_token(text) if isinstance(self.inner, KnowsWords) else None

    def check_structure(self, structure: Structure) -> None:
        if isinstance(self.inner, ChecksStructure):
            self.inner.check_structure(structure)

    def steering(self, request: Request) -> object:
        return self.inner.steering(request) if isinstance(self.inner, Steers) else None

    @asynccontextmanager
    async def open(self, request: Request) -> AsyncIterator[Stream]:
        block = self.inner.open(request)
        stream = None
        try:
            async with block as stream:
                yield stream
        finally:
            if stream is not None:
                self.record.paid += stream.usage.as_verifier()

    async def start(self) -> None:
        await self.inner.start()

    async def aclose(self) -> None:
        """Do nothing: the inner backend belongs to whoever made it."""
