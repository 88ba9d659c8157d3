"""The verbs: what each part of the house must be able to do. A class that fits is a plug-in.

No base class is needed: these are structural types. `tts.testing` holds contract tests for them.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Hashable, Mapping, MutableMapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, runtime_checkable

from tts.types import (
    Candidate,
    Capability,
    Chunk,
    Evidence,
    Grant,
    ModelInfo,
    Problem,
    ProblemId,
    Request,
    Result,
    Sampling,
    Score,
    Segment,
    Stop,
    Structure,
    Trajectory,
    Usage,
)
from tts.watching import Decision, Pause, Piece, Reply, Setting, State


class Stream(Protocol):
    """One decode under way. Iterate it for chunks; leaving its block aborts it."""

    @property
    def usage(self) -> Usage:
        """What the decode has cost so far; exact once the block has been left, abort or not."""
        ...

    @property
    def trajectory(self) -> Trajectory:
        """The request's prefix with all that has been generated, as one new node.

        Its `finish` is None until the decode has ended by itself or its block has been left.
        """
        ...

    def __aiter__(self) -> AsyncIterator[Chunk]: ...


class Backend(Protocol):
    """Something that decodes: the bundled engine, a server, a simulation, or a wrapper."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What it can do, known before the first request."""
        ...

    @property
    def model(self) -> ModelInfo:
        """The model it decodes."""
        ...

    def identity(self) -> Mapping[str, Any]:
        """What decides the distribution of its answers: weights, tokenizer, template, numerics.

        Of JSON types. Backends with equal identities may share a replay cache.
        """
        ...

    def prompt_tokens(self, problem: Problem, trajectory: Trajectory) -> int:
        """Tokens of the prompt together with the partial answer; an upper bound if unsure."""
        ...

    def open(self, request: Request) -> AbstractAsyncContextManager[Stream]:
        """Start a decode, at the entry of the returned block.

        Raises (at entry):
            ContextTooLong: Prompt and `max_tokens` do not fit the context.
            CapabilityMissing: The request asks for what the backend cannot do.
            BackendError: The backend failed.
        """
        ...

    async def start(self) -> None:
        """Load whatever must be loaded; safe to call again."""
        ...

    async def aclose(self) -> None:
        """Release everything; safe to call again."""
        ...


@runtime_checkable
class KnowsEnds(Protocol):
    """A backend that can say where the text of its tokens ends; its answers can be cut anywhere."""

    def ends(self, request: Request, tokens: Sequence[int]) -> Sequence[int]:
        """Where the text ends after each of the `tokens` of a request's answer, in characters.

        Empty if it turns out that it cannot be said.
        """
        ...


@runtime_checkable
class KnowsWords(Protocol):
    """A backend that knows its model's vocabulary."""

    def word(self, token: int) -> str:
        """The text of a token by itself; empty for one without a text, or if it is not known."""
        ...

    def is_token(self, text: str) -> bool | None:
        """Whether a text is one token of the vocabulary; None if that is not known."""
        ...


@runtime_checkable
class Steers(Protocol):
    """A backend that can say before it is started whether it can steer a request."""

    def steering(self, request: Request) -> object:
        """Work out what a request's steering means here.

        Raises:
            CapabilityMissing: It cannot be done here.
            ConfigError: A text is not one token.
        """
        ...


@runtime_checkable
class ChecksStructure(Protocol):
    """A backend that can say before it is started whether it can hold answers to a structure."""

    def check_structure(self, structure: Structure) -> None:
        """Refuse a structure that cannot be held.

        Raises:
            CapabilityMissing: Such a structure cannot be held here.
            ConfigError: It is no schema, expression or grammar, or not one that is understood.
        """
        ...


@runtime_checkable
class Reads(Protocol):
    """A backend that can say how likely its model finds a given text."""

    def spells(self, text: str) -> bool:
        """Whether the model has tokens for all of a text."""
        ...

    async def read(
        self, problem: Problem, trajectory: Trajectory, given: Segment, *, top: int = 0
    ) -> tuple[Segment, Usage]:
        """Read a text behind a prompt and a partial answer.

        Args:
            problem: The prompt.
            trajectory: The partial answer.
            given: The text. Its tokens are taken as they are if they are of this model's kind.
            top: How many of the likeliest tokens are wanted at every place, at least 0.

        Returns:
            The text with its tokens and their log-probabilities (nats, temperature 1), and the
            `top` likeliest if they were asked for; and what reading it has cost.

        Raises:
            ContextTooLong: All of it does not fit the context.
            ConfigError: The text is empty, or something else about it cannot be used.
            BackendError: The backend failed.
        """
        ...


@runtime_checkable
class KnowsNoise(Protocol):
    """A backend that can make the noise of its sampler again, and so repeat a draw token by token.

    The sampler takes the token with the largest sum of its log-probability, divided by the
    temperature, and its noise.
    """

    def noise(self, seed: int, places: Sequence[Sequence[int]]) -> Sequence[Sequence[float]] | None:
        """The noise of some tokens at the first places of a draw.

        Args:
            seed: Of the request.
            places: Ids of tokens, a list for each place from the first one on.

        Returns:
            The noise (of the Gumbel distribution) of each of them; None if it cannot be said.
        """
        ...


class Charge(Protocol):
    """What a verifier owes for work on a model of its own."""

    def settle(self, usage: Usage) -> None:
        """Say what it was, once, in verifier terms: its tokens, FLOPs and dollars."""
        ...


class VerifierContext(Protocol):
    """All that a verifier or selector may touch; what is spent through it is metered."""

    @property
    def backend(self) -> Backend:
        """A model to ask; its tokens are charged as verifier tokens."""
        ...

    @property
    def answers(self) -> AnswerFormat:
        """How answers are written in this task."""
        ...

    @property
    def memory(self) -> MutableMapping[Hashable, Any]:
        """Whatever verifiers keep between two calls for this problem; empty at its start."""
        ...

    def work(self, bound: Usage) -> AbstractAsyncContextManager[Charge]:
        """A block in which a verifier works on a model of its own, for at most `bound`.

        May wait until the budget can pay. What has not been settled when the block is left is
        charged at the bound.

        Raises (at entry):
            BudgetExhausted: The budget cannot pay.
        """
        ...

    def rng(self, *names: Hashable) -> random.Random:
        """A random stream of its own for `names`, the same in every run with this seed."""
        ...


class Verifier(Protocol):
    """Judges each trajectory by itself."""

    @property
    def requires(self) -> frozenset[Capability]:
        """What the policy's backend must offer (log-probabilities, say)."""
        ...

    @property
    def partial(self) -> bool:
        """Whether unfinished trajectories can be judged."""
        ...

    def identity(self) -> Mapping[str, Any]:
        """What decides its scores: its method and settings, the weights of a model of its own.

        Of JSON types. Verifiers with equal identities give equal scores.
        """
        ...

    def bound(self, problem: Problem, tokens: int, ctx: VerifierContext) -> Usage:
        """Upper bound of the cost of judging one answer of up to `tokens` tokens.

        In verifier terms: one of `verifier_calls`, and the tokens, FLOPs and dollars of whatever
        model is asked through `ctx`. Never falls with `tokens`.
        """
        ...

    async def score(
        self, problem: Problem, trajectories: Sequence[Trajectory], ctx: VerifierContext
    ) -> list[Score]:
        """One score a trajectory, in the same order, all on the same scale."""
        ...


class Watcher(Protocol):
    """Watches an answer while the model thinks, and may change its course.

    Pure: its state is a frozen value, kept on the nodes of the chain, so that a chain can be
    forked, cut and resumed with its watcher. Positions are characters of the thinking part.
    What is decided for a position holds however far the chain has gone on meanwhile: it is cut
    there. So the text that comes of it does not depend on the speed of anything.
    """

    @property
    def requires(self) -> frozenset[Capability]:
        """What the policy's backend must offer, beside `continuation` and `watched`."""
        ...

    def begin(self, setting: Setting) -> State:
        """The state before the first token of thinking.

        Raises:
            ConfigError: It can do nothing with such a model.
        """
        ...

    def pause(self, state: State) -> Pause:
        """When to hear of the chain again."""
        ...

    def read(self, state: State, piece: Piece) -> tuple[State, Decision]:
        """Take in the next piece. Pieces may be cut anywhere; that must not change decisions."""
        ...

    def hear(self, state: State, reply: Reply) -> tuple[State, Decision]:
        """Take in the reply to one of its questions; replies come in the order of questions."""
        ...


@runtime_checkable
class ReadsTop(Protocol):
    """A verifier or selector that reads more than the log-probabilities of the drawn tokens."""

    @property
    def top(self) -> int:
        """Of how many of the likeliest tokens it wants them, at every place; at least 1."""
        ...


@runtime_checkable
class ChecksModel(Protocol):
    """A verifier or strategy that was fitted on the answers of one model."""

    def check(self, model: ModelInfo, weights: str | None) -> None:
        """Refuse another model.

        Args:
            model: Writes the answers.
            weights: Hash of its weights; None if that is unknown.

        Raises:
            ConfigError: It is such a model.
        """
        ...


@runtime_checkable
class Startable(Protocol):
    """A verifier that must load something, such as a model, before it can judge."""

    async def start(self) -> None:
        """Load it; safe to call again, and from several tasks at once."""
        ...

    async def aclose(self) -> None:
        """Release everything; safe to call again."""
        ...


class Selector(Protocol):
    """Judges a set of candidates: votes, weighted votes, tournaments."""

    @property
    def requires(self) -> frozenset[Capability]:
        """What the policy's backend must offer (log-probabilities, say), or a verifier."""
        ...

    @property
    def asks(self) -> bool:
        """Whether it asks a model: such a selector is used once, when all candidates are there."""
        ...

    async def weigh(
        self, problem: Problem, candidates: Sequence[Candidate], ctx: VerifierContext
    ) -> list[float]:
        """One weight a candidate, in the same order; -inf for one that must not be chosen."""
        ...


class AnswerFormat(Protocol):
    """How answers are written in this task, and when two of them are the same."""

    @property
    def landing(self) -> str:
        """Text which, appended to an unfinished answer, makes the model state its result."""
        ...

    def extract(self, text: str) -> str | None:
        """The final answer in a text, or None."""
        ...

    async def key(self, answer: str) -> str:
        """A canonical form: equal answers have equal keys."""
        ...


class Env(Protocol):
    """All that a strategy may touch while it solves one problem; everything is metered."""

    @property
    def backend(self) -> Backend:
        """The policy. Opening a stream takes a lease on the budget, and may wait for one.

        `open` raises `BudgetExhausted` if the budget cannot pay, and lowers `max_tokens` to the
        lease. Within the block of another stream it does not wait, and has to make do with what
        nobody holds.
        """
        ...

    @property
    def draft(self) -> Backend:
        """The draft model: a smaller one, which writes on trial. Metered like `backend`.

        Raises:
            CapabilityMissing: There is none; a strategy that `requires` one never sees this.
        """
        ...

    @property
    def sampling(self) -> Sampling:
        """How tokens are drawn in this run."""
        ...

    @property
    def max_tokens(self) -> int:
        """Cap on the tokens of one whole answer in this run."""
        ...

    def request(self, trajectory: Trajectory, child: int) -> Request:
        """The `child`-th continuation of a trajectory under this run's settings, seeded."""
        ...

    async def candidate(self, trajectory: Trajectory) -> Candidate:
        """Extract the answer of a trajectory."""
        ...

    async def score(self, trajectories: Sequence[Trajectory]) -> list[Trajectory]:
        """Have the verifier judge trajectories; the same nodes come back with their scores.

        Raises:
            BudgetExhausted: The budget cannot pay for the calls.
            VerifierError: The verifier failed.
        """
        ...

    async def choose(self, selector: Selector, candidates: Sequence[Candidate]) -> Candidate | None:
        """The candidate that a selector prefers; ties between answers are broken fairly."""
        ...

    def publish(self, candidate: Candidate) -> None:
        """Make this the best answer so far: it reaches the caller, the display and the record."""
        ...

    async def more(self, candidates: Sequence[Candidate], wants: int) -> int:
        """Ask the controller for `wants` more samples; it grants 0 (stop) to `wants`.

        May wait until the controller has decided, and never waits while holding a lease.

        Raises:
            StrategyError: A limited budget is asked for from within the block of a stream.
        """
        ...

    def reserve(
        self, trajectory: Trajectory, max_tokens: int | None = None, *, draft: bool = False
    ) -> AbstractAsyncContextManager[Env]:
        """A block with an environment that can pay one continuation and its judgement.

        It continues `trajectory` by up to `max_tokens`, by a whole answer if that is None; with
        `draft` it is the draft model that does. Both are leased in one piece, so that nothing is
        paid whose judgement cannot be. Inside, `max_tokens` is what the lease covers; what is not
        used goes back at the end of the block.

        Raises (at entry):
            BudgetExhausted: The budget cannot pay for both.
        """
        ...

    def split(self, share: float) -> Env:
        """The same problem with at most `share` (0 to 1) of the budget that is left."""
        ...

    def rng(self, *names: Hashable) -> random.Random:
        """A random stream of its own for `names`, the same in every run with this seed."""
        ...


class Strategy(Protocol):
    """Decides what to generate next. Its configuration is its only state."""

    @property
    def requires(self) -> frozenset[Capability]:
        """What backend and verifier must offer; checked before the first token is spent."""
        ...

    async def __call__(self, problem: Problem, env: Env) -> Result:
        """Solve one problem. `tts.solve` fills in usage, tree and decisions."""
        ...


@runtime_checkable
class Stepwise(Protocol):
    """A strategy that goes step by step, and cannot begin without a whole first step."""

    @property
    def first_step(self) -> Usage:
        """Lower bound of the cost of that step; a smaller budget is refused before it is spent."""
        ...


@runtime_checkable
class Chooses(Protocol):
    """A strategy whose selector can be set; what that one requires, the strategy does."""

    @property
    def selector(self) -> Selector:
        """Chooses among the candidates."""
        ...


@runtime_checkable
class Thresholded(Protocol):
    """A strategy with which a measure and a threshold say which of two models writes a step."""

    @property
    def measure(self) -> str:
        """Entry of `Result.details` with the measured value of each of the draft model's tries."""
        ...

    @property
    def rising(self) -> bool:
        """Whether the large model writes where the value reaches the threshold, or is below it."""
        ...

    def at(self, threshold: float) -> Strategy:
        """The same strategy with another threshold; an infinite one keeps the large model out."""
        ...


@runtime_checkable
class ArrivalOrdered(Protocol):
    """A strategy whose choices depend on the order in which its steps arrive."""

    def replaying(self, results: Sequence[Result]) -> Strategy:
        """The same strategy, which takes the steps of these problems in the order they had then."""
        ...


class PotView(Protocol):
    """What a controller may know of a budget."""

    @property
    def spent(self) -> Usage:
        """What has been paid so far."""
        ...

    def remaining(self, limit: str) -> float:
        """What is left of the named limit, infinity if it is unlimited."""
        ...


@runtime_checkable
class Controller(Protocol):
    """Decides where compute goes. Pure: evidence in, decisions out, no state.

    A problem that gets no decision waits until the evidence of another one changes.
    """

    def decide(self, evidence: Mapping[ProblemId, Evidence], pot: PotView) -> list[Grant | Stop]:
        """Decide for any of the problems that ask."""
        ...
