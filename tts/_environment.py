"""The environment: all that a strategy or verifier may touch while one problem is solved."""

from __future__ import annotations

import math
import random
from collections.abc import AsyncIterator, Hashable, MutableMapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from tts._chain import Watch
from tts._metering import Account, MeteredBackend
from tts._watched import WatchedBackend
from tts.budget.desk import Desk
from tts.budget.pot import Pot
from tts.errors import BudgetExhausted, CapabilityMissing, StrategyError, VerifierError
from tts.protocols import AnswerFormat, Backend, Selector, Verifier, Watcher
from tts.seeds import derive
from tts.types import (
    Answer,
    Candidate,
    Capability,
    Decided,
    Evidence,
    Grant,
    Problem,
    Request,
    Sampling,
    Segment,
    Structure,
    Trajectory,
    Usage,
)
from tts.watching import Thinking


@dataclass(slots=True)
class Tab:
    """What a verifier's own work has cost: the bound until it says better. See `Charge`."""

    usage: Usage

    def settle(self, usage: Usage) -> None:
        """Say what it was."""
        self.usage = usage


@dataclass(frozen=True, slots=True)
class Context:
    """What a verifier may touch: a metered model, and random streams. See `VerifierContext`."""

    backend: MeteredBackend
    answers: AnswerFormat
    seed: int
    names: tuple[Hashable, ...]

    @property
    def memory(self) -> MutableMapping[Hashable, Any]:
        """What verifiers keep for this problem."""
        return self.backend.account.memory

    @asynccontextmanager
    async def work(self, bound: Usage) -> AsyncIterator[Tab]:
        """A block in which a verifier works on a model of its own, under a lease."""
        pot, account = self.backend.pot, self.backend.account
        lease = await account.lease(pot, lambda _: bound, 0)
        tab = Tab(bound)
        try:
            yield tab
        finally:
            lease.settle(tab.usage)
            account.pay(tab.usage)

    def rng(self, *names: Hashable) -> random.Random:
        """A random stream of its own for `names`."""
        return random.Random(derive(self.seed, *self.names, "rng", *names))


@dataclass(frozen=True, slots=True)
class Environment:
    """One problem's surroundings. Implements `tts.protocols.Env`."""

    problem: Problem
    pot: Pot
    account: Account
    desk: Desk
    policy: Backend
    judge: Backend
    drafter: Backend | None
    verifier: Verifier | None
    answers: AnswerFormat
    sampling: Sampling
    max_tokens: int
    seed: int
    logprobs: int | None  # as verifier and selector want them
    cap: int  # of a whole answer, also where `max_tokens` is what a lease covers
    watchers: tuple[Watcher, ...] = ()
    thinking: Thinking = Thinking()
    structure: Structure | None = None

    @property
    def meter(self) -> MeteredBackend:
        """The policy, metered."""
        return MeteredBackend(self.policy, self.pot, self.account)

    @property
    def backend(self) -> Backend:
        """The policy, metered, and watched if there are watchers."""
        return self._watched(self.meter)

    @property
    def draft(self) -> Backend:
        """The draft model, metered, and watched like the policy: a chain is one, whoever writes."""
        if self.drafter is None:
            raise CapabilityMissing("No draft model was given.", hint=DRAFT_HINT)
        return self._watched(MeteredBackend(self.drafter, self.pot, self.account, drafting=True))

    def _watched(self, meter: MeteredBackend) -> Backend:
        if not self.watchers:
            return meter
        judge = self.context.backend
        return WatchedBackend(Watch(meter, judge, self.watchers, self.thinking, self.cap))

    @property
    def context(self) -> Context:
        """What verifiers and selectors get."""
        meter = MeteredBackend(self.judge, self.pot, self.account, verifying=True)
        return Context(meter, self.answers, self.seed, (self.problem.id, self.problem.repeat))

    def rng(self, *names: Hashable) -> random.Random:
        """A random stream of its own for `names`."""
        return self.context.rng(*names)

    def request(self, trajectory: Trajectory, child: int) -> Request:
        """The `child`-th continuation of a trajectory under this run's settings."""
        return Request(
            self.problem,
            trajectory,
            child,
            self.sampling,
            self.max_tokens,
            (),
            self.logprobs,
            derive(self.seed, self.problem.id, self.problem.repeat, trajectory.key, child),
            structure=self.problem.structure or self.structure,
        )

    async def candidate(self, trajectory: Trajectory) -> Candidate:
        """Extract the answer of a trajectory; one that was given up has none."""
        given_up = trajectory.finish == "abort"
        text = None if given_up else self.answers.extract(trajectory.text)
        if text is None:
            return Candidate(trajectory, None)
        return Candidate(trajectory, Answer(text, await self.answers.key(text)))

    async def score(self, trajectories: Sequence[Trajectory]) -> list[Trajectory]:
        """Have the verifier judge trajectories."""
        if self.verifier is None:
            raise _no_verifier()
        if not trajectories:
            return []
        calls = Usage(verifier_calls=len(trajectories))
        lease = await self.account.lease(self.pot, lambda _: calls, 0)
        # Paid in advance: a verifier that asks a model must not hold one lease while it waits
        # for another.
        lease.settle(calls)
        self.account.pay(calls)
        scores = await self.verifier.score(self.problem, trajectories, self.context)
        if len(scores) != len(trajectories):
            raise VerifierError(
                f"{type(self.verifier).__name__} gave {len(scores)} scores for"
                f" {len(trajectories)} trajectories."
            )
        self.account.scores.update(zip(trajectories, scores, strict=True))
        return [t.scored(s) for t, s in zip(trajectories, scores, strict=True)]

    async def choose(self, selector: Selector, candidates: Sequence[Candidate]) -> Candidate | None:
        """The candidate that a selector prefers, ties between answers broken fairly."""
        answered = [c for c in candidates if c.answer is not None]
        if not answered:
            return None
        weights = await selector.weigh(self.problem, answered, self.context)
        if len(weights) != len(answered):
            raise VerifierError(f"{type(selector).__name__} gave {len(weights)} weights.")
        top = max(weights)
        if top == -math.inf:
            return None
        tied = [c for c, w in zip(answered, weights, strict=True) if w == top]
        keys = sorted({c.answer.key for c in tied if c.answer})
        key = keys[0] if len(keys) == 1 else self.rng("tie", len(answered)).choice(keys)
        return next(c for c in tied if c.answer and c.answer.key == key)

    def publish(self, candidate: Candidate) -> None:
        """Make this the best answer so far."""
        self.account.publish(candidate)

    async def more(self, candidates: Sequence[Candidate], wants: int) -> int:
        """Ask the controller for `wants` more samples."""
        if wants < 1:
            raise StrategyError(f"A strategy asked its controller for {wants} samples.")
        if self.pot.inside:  # others may wait for the lease, and the controller for them
            raise StrategyError(
                "A strategy asked its controller for samples while it held a stream open.",
                hint="Leave the stream first.",
            )
        evidence = Evidence(tuple(candidates), wants, self.account.usage)
        decision = await self.desk.ask(self.problem.name, evidence, self.account.decisions)
        if self.account.emit:
            self.account.emit(Decided(self.problem.id, decision))
        return decision.samples if isinstance(decision, Grant) else 0

    @asynccontextmanager
    async def reserve(
        self, trajectory: Trajectory, max_tokens: int | None = None, *, draft: bool = False
    ) -> AsyncIterator[Environment]:
        """An environment that can pay one continuation and its judgement."""
        verifier, writer = self.verifier, self.draft if draft else self.policy
        model = writer.model
        if verifier is None:
            raise _no_verifier()
        prompt = writer.prompt_tokens(self.problem, trajectory)

        def cost(tokens: int) -> Usage:
            judgement = verifier.bound(self.problem, prompt + tokens, self.context)
            return model.usage(prompt, 0, tokens) + judgement

        longest = self.max_tokens if max_tokens is None else max_tokens
        want = max(1, min(longest, model.context - prompt))
        lease = await self.account.lease(self.pot, cost, want)
        pot = lease.pot()
        try:
            yield replace(self, pot=pot, max_tokens=lease.tokens)
        finally:
            lease.settle(pot.spent)

    def split(self, share: float) -> Environment:
        """The same problem with a share of what is left of the budget."""
        return replace(self, pot=self.pot.split(share))

    async def land(self) -> None:
        """Close one unfinished answer from the landing reserve, and publish it.

        The one that the strategy has published as the best so far, or else the longest.
        """
        published = [self.account.best.trajectory] if self.account.best else []
        open_ends = [n for n in published or self.account.leaves if n.finish != "stop"]
        if not open_ends or Capability.CONTINUATION not in self.policy.capabilities:
            return
        leaf = max(open_ends, key=lambda node: len(node.text))
        forced = Segment(self.answers.landing, origin="forced")
        request = replace(
            self.request(leaf.extend(forced, child=0, clock=leaf.clock), 0),
            sampling=self.sampling.greedy(),
            max_tokens=self.pot.budget.landing_tokens,
        )
        try:
            async with replace(self.meter, landing=True).open(request) as stream:
                async for _ in stream:
                    pass
        except BudgetExhausted:
            return
        self.publish(await self.candidate(stream.trajectory))


DRAFT_HINT = "Choose one, such as draft=mini-reasoner beside model=mini-reasoner-l."


def _no_verifier() -> CapabilityMissing:
    return CapabilityMissing("No verifier was given.", hint="Choose one, as verifier=likelihood.")
