"""The nouns: frozen values that every part of the house passes to every other.

Standard library only. Nothing here does I/O, reads a clock or draws a random number. A `Problem`
never holds the gold answer; that lives with the task and reaches graders alone.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Literal

ProblemId = str
Origin = Literal["model", "injected", "forced"]
FinishReason = Literal["stop", "step", "length", "abort"]
Scale = Literal["probability", "logit", "reward"]
Role = Literal["system", "user", "assistant"]


def _nothing() -> Mapping[str, Any]:
    return MappingProxyType({})


class Capability(StrEnum):
    """What a backend can do; the last four: what the chosen verifier and draft model can do.

    Whether there is a draft model at all that continues answers is `DRAFT`, and whether it gives
    log-probabilities is `DRAFT_LOGPROBS`.
    """

    CONTINUATION = "continuation"
    TOKEN_IDS = "token_ids"
    LOGPROBS = "logprobs"
    SEEDS = "seeds"
    LOGITS_PROCESSORS = "logits_processors"
    STRUCTURED = "structured"
    VERIFIER = "verifier"
    PARTIAL_SCORES = "partial_scores"
    DRAFT = "draft"
    DRAFT_LOGPROBS = "draft_logprobs"


@dataclass(frozen=True, slots=True)
class Structure:
    """What an answer must look like; the backend lets no token be drawn that would break it.

    Exactly one of the first four is given. An answer that `max_tokens` cuts off may be incomplete.

    Attributes:
        json_schema: A JSON schema; the answer is one JSON value that satisfies it.
        regex: A regular expression that the whole answer matches.
        choice: Texts of which the answer is one, none of them empty.
        grammar: A grammar, in EBNF with `::=` and a rule `root`, or in Lark's notation with a rule
            `start`.
        after: Text up to which the model may write what it likes, such as `</think>` or
            `Answer: `; the structure holds for what comes behind it, the first time that it is
            written. Empty for a structure that holds from the start.
    """

    json_schema: Mapping[str, Any] | None = None
    regex: str | None = None
    choice: tuple[str, ...] = ()
    grammar: str | None = None
    after: str = ""

    def __post_init__(self) -> None:
        if len(self.kinds) != 1:
            raise ValueError(
                "a structure is exactly one of json_schema, regex, choice and grammar; it was given"
                f" {', '.join(self.kinds) or 'none'}"
            )
        if len(set(self.choice)) < len(self.choice) or "" in self.choice:
            raise ValueError("the texts of structure.choice must differ, and none may be empty")

    @property
    def kinds(self) -> tuple[str, ...]:
        """Which of the four ways of saying it are used."""
        values = {
            "json_schema": self.json_schema is not None,
            "regex": self.regex is not None,
            "choice": bool(self.choice),
            "grammar": self.grammar is not None,
        }
        return tuple(name for name, there in values.items() if there)

    def as_dict(self) -> dict[str, Any]:
        """What is said, of JSON types."""
        (kind,) = self.kinds
        value = getattr(self, kind)
        said = {kind: list(value) if kind == "choice" else value}
        return said | {"after": self.after} if self.after else said


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Problem:
    """What is to be solved. Exactly one of `prompt` and `messages` is given.

    Attributes:
        id: Keys logs, resumed runs and seeds; unique within a run.
        prompt: Text that the model continues as it stands.
        messages: Conversation that goes through the model's chat template.
        metadata: Anything else that a strategy or verifier may see (a level, a subject).
        repeat: Which independent repetition of it this is, at least 0: the same problem again,
            with draws of its own.
        structure: What its answers must look like, whatever the run says.
    """

    id: ProblemId
    prompt: str = ""
    messages: tuple[Message, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=_nothing)
    repeat: int = 0
    structure: Structure | None = None

    def __post_init__(self) -> None:
        if bool(self.prompt) == bool(self.messages):
            raise ValueError(f"problem {self.id!r} needs either a prompt or messages")

    @property
    def name(self) -> str:
        """The id, told apart from other repetitions."""
        return f"{self.id}#{self.repeat}" if self.repeat else self.id

    @classmethod
    def chat(cls, id: ProblemId, question: str, *, system: str = "") -> Problem:
        """A one-turn conversation that asks `question`."""
        head = (Message("system", system),) if system else ()
        return cls(id, messages=(*head, Message("user", question)))


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of an answer, written in one go by one author.

    Attributes:
        text: The piece as text.
        tokens: Its token ids under `tokenizer`, or None where the backend gives text only.
        tokenizer: Identity of the tokenizer; ids mean nothing under another one.
        logprobs: Log-probability (nats, temperature 1) of each token, if asked for.
        top_logprobs: For each token the most likely ids with their log-probabilities, if asked for.
        origin: Written by the `model`, `injected` by a strategy, or `forced` by a budget.
    """

    text: str
    tokens: tuple[int, ...] | None = None
    tokenizer: str | None = None
    logprobs: tuple[float, ...] | None = None
    top_logprobs: tuple[Mapping[int, float], ...] | None = None
    origin: Origin = "model"


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """A node of the search tree: a partial or whole answer that points to its parent.

    Extending costs O(1) and shares the prefix. Create roots with `Trajectory.root()` and children
    with `extend`.

    Attributes:
        parent: The prefix; None at the root.
        segment: What this node adds; None at the root.
        key: Identity of the node by its path of child numbers, the source of its seeds.
        depth: Number of segments up to here.
        clock: Logical time in tokens at which this node was known: the longest chain of
            generation that had to happen before it, one after the other.
        finish: `stop` if the model ended the answer here, `step` if a stop string did, `length` if
            a cap did, `abort` if we did; None where the stream is still open or the piece was
            injected.
        score: What a verifier said of the answer up to here.
        watched: Where its watchers stand here; None where they have not been asked.
    """

    parent: Trajectory | None
    segment: Segment | None
    key: str
    depth: int = 0
    clock: int = 0
    finish: FinishReason | None = None
    score: Score | None = None
    watched: object = None

    @classmethod
    def root(cls, *, clock: int = 0) -> Trajectory:
        """The empty answer, known at logical time `clock` (tokens)."""
        return cls(parent=None, segment=None, key="", clock=clock)

    def extend(
        self, segment: Segment, *, child: int, clock: int, finish: FinishReason | None = None
    ) -> Trajectory:
        """The `child`-th continuation of this node, known at logical time `clock`."""
        digest = hashlib.blake2b(f"{self.key}/{child}".encode(), digest_size=8).hexdigest()
        return Trajectory(self, segment, digest, self.depth + 1, clock, finish)

    def after(self, clock: int) -> Trajectory:
        """The same node behind a barrier: known no earlier than `clock` (tokens)."""
        return self if clock <= self.clock else replace(self, clock=clock)

    def scored(self, score: Score) -> Trajectory:
        """The same node with a verifier's judgement."""
        return replace(self, score=score)

    def nodes(self) -> Iterator[Trajectory]:
        """The path from the first segment to this node."""
        path: list[Trajectory] = []
        node: Trajectory | None = self
        while node is not None and node.segment is not None:
            path.append(node)
            node = node.parent
        return reversed(path)

    def segments(self) -> tuple[Segment, ...]:
        """The pieces from the start of the answer to this node."""
        return tuple(node.segment for node in self.nodes() if node.segment is not None)

    @property
    def text(self) -> str:
        """The answer up to here, without the prompt."""
        return "".join(segment.text for segment in self.segments())

    @property
    def logprobs(self) -> tuple[float, ...] | None:
        """Log-probabilities of the model's own tokens, or None if a piece of its lacks them."""
        values: list[float] = []
        for segment in self.segments():
            if segment.origin == "model":
                if segment.logprobs is None:
                    return None
                values.extend(segment.logprobs)
        return tuple(values)

    def cut(self, characters: int) -> Trajectory:
        """The answer up to a position in its text.

        At a boundary between segments the existing node is returned, tokens and all. Inside a
        segment a new node with text only is made: which tokens spell half a segment is for the
        backend to say when it continues.

        Args:
            characters: Position in `text`, between 0 and its length.

        Raises:
            ValueError: The position lies outside the text.
        """
        if not 0 <= characters <= len(self.text):
            raise ValueError(f"position {characters} is outside a text of {len(self.text)}")
        node, end = self, len(self.text)
        while node.parent is not None and node.segment is not None:
            start = end - len(node.segment.text)
            if characters == end:
                return node
            if characters > start:
                piece = Segment(node.segment.text[: characters - start], origin=node.segment.origin)
                return node.parent.extend(piece, child=-1 - characters, clock=node.clock)
            node, end = node.parent, start
        return node


@dataclass(frozen=True, slots=True)
class Score:
    """A verifier's judgement, on the scale on which it was made, never silently squeezed."""

    raw: float
    scale: Scale

    def __post_init__(self) -> None:
        if math.isnan(self.raw):
            raise ValueError("a score must be a number, not NaN")
        if self.scale == "probability" and not 0.0 <= self.raw <= 1.0:
            raise ValueError(f"a probability lies between 0 and 1, not at {self.raw}")

    @property
    def probability(self) -> float:
        """The score as a probability.

        Raises:
            ValueError: The score is an unbounded reward, which no formula turns into one.
        """
        if self.scale == "probability":
            return self.raw
        if self.scale == "logit":
            return 1 / (1 + math.exp(-self.raw)) if self.raw > -700 else 0.0
        raise ValueError("an unbounded reward is no probability: calibrate the verifier first")


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. Temperature 0 is greedy decoding.

    Attributes:
        temperature: 0 to 2.
        top_p: Nucleus mass, above 0 and at most 1.
        top_k: Number of likeliest tokens to draw from; 0 for all.
        min_p: Least probability relative to the likeliest token, 0 to 1.
    """

    temperature: float = 0.8
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0

    def __post_init__(self) -> None:
        for name, low, high in (("temperature", 0, 2), ("top_p", 1e-9, 1), ("min_p", 0, 1)):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"sampling.{name} is {value}; it must lie in [{low:g}, {high:g}]")
        if self.top_k < 0:
            raise ValueError(f"sampling.top_k is {self.top_k}; it must be 0 (off) or positive")

    def greedy(self) -> Sampling:
        """The same settings at temperature 0."""
        return replace(self, temperature=0.0)


@dataclass(frozen=True, slots=True)
class Steering:
    """Changes to the distribution of the next token, before the sampling's own temperature.

    The temperatures are applied to the model's own log-probabilities; the biases come after them.

    Attributes:
        bias: Texts of one token each, with what is added to their logits; -inf forbids one.
        temperatures: Texts of one token each, with what their log-probability is divided by, above
            0: a value above 1 makes a token likelier, the more so the less likely it was.
        banned: Spellings that must not be written: those that are one token each are forbidden, and
            at least one must be; the others are left alone.
    """

    bias: Mapping[str, float] = field(default_factory=_nothing)
    temperatures: Mapping[str, float] = field(default_factory=_nothing)
    banned: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """One decode: continue `trajectory` on `problem` as its `child`-th continuation.

    Attributes:
        problem: What is asked.
        trajectory: The prefix of the answer; a root to start anew.
        child: Which continuation of the prefix this is; part of the new node's key.
        sampling: How tokens are drawn.
        max_tokens: Hard cap on the tokens to generate, at least 1.
        stop: Strings that end the decode; kept in the text.
        logprobs: None for none, 0 for the drawn tokens, k for the k likeliest as well.
        seed: Identity of the draw, from which a backend with the capability `seeds` draws, and
            under which a replay cache keeps it; None for a draw that nothing can repeat.
        watch: Whether somebody reads chunk by chunk; if not, one final chunk is enough.
        every: Tokens that a chunk should hold, at least 1, if somebody reads: more is cheaper. A
            wish; the last chunk comes as soon as it is there.
        steering: Changes to the distribution of the next token; needs `logits_processors`.
        structure: What the text must look like from its first token on; needs `structured`, a root
            as trajectory, and no stop strings.
        verifying: Whether a verifier asks, for whom somebody may be waiting with a stream open;
            set by the meter. A backend with few slots serves it first.
    """

    problem: Problem
    trajectory: Trajectory
    child: int = 0
    sampling: Sampling = Sampling()
    max_tokens: int = 1024
    stop: tuple[str, ...] = ()
    logprobs: int | None = None
    seed: int | None = None
    watch: bool = False
    every: int = 1
    steering: Steering | None = None
    structure: Structure | None = None
    verifying: bool = False


@dataclass(frozen=True, slots=True)
class Chunk:
    """What a stream delivers: a few tokens, the last of them with the finish reason.

    Attributes:
        text: What they add to the text.
        tokens: Their ids; empty where the backend gives text only.
        finish: Why the decode has ended; None while it goes on.
        logprobs: As of `Segment`, of what the chunk adds to it, if asked for.
        top_logprobs: As of `Segment`, of what the chunk adds to it, if asked for.
    """

    text: str
    tokens: tuple[int, ...] = ()
    finish: FinishReason | None = None
    logprobs: tuple[float, ...] | None = None
    top_logprobs: tuple[Mapping[int, float], ...] | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What something cost, as a vector. Discarded and aborted branches count.

    `a + b` is one after the other: everything adds. `a | b` is side by side: costs add, while
    `seconds` and `sequential_tokens` take the larger.

    Attributes:
        prompt_tokens: Prompt tokens of the policy, cached ones included.
        cached_tokens: The part of them that the engine took from its prefix cache.
        completion_tokens: Tokens that the policy generated, and a draft model beside it.
        replayed_tokens: The part of them that came from a replay cache: charged like all others,
            so that a cached run draws the same curves, but paid for earlier.
        verifier_tokens: Prompt and completion tokens of models that verify.
        verifier_calls: Trajectories that a verifier judged.
        calls: Requests to the policy.
        flops: Nominal floating-point operations, see `ModelInfo.flops`.
        usd: Dollars at list price.
        seconds: Wall-clock time.
        sequential_tokens: Longest chain of tokens that had to be generated one after another.
        draft_tokens: The part of completion_tokens that a draft model generated.
        ideal_seconds: What its requests would take one after the other on a server of their own,
            by the price list of the model. Adds up, also side by side.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    replayed_tokens: int = 0
    verifier_tokens: int = 0
    verifier_calls: int = 0
    calls: int = 0
    flops: float = 0.0
    usd: float = 0.0
    seconds: float = 0.0
    sequential_tokens: int = 0
    draft_tokens: int = 0
    ideal_seconds: float = 0.0

    @property
    def total_tokens(self) -> int:
        """Prompt, completion and verifier tokens together."""
        return self.prompt_tokens + self.completion_tokens + self.verifier_tokens

    @property
    def policy_tokens(self) -> int:
        """Completion tokens that the policy itself generated, and not a draft model beside it."""
        return self.completion_tokens - self.draft_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.cached_tokens + other.cached_tokens,
            self.completion_tokens + other.completion_tokens,
            self.replayed_tokens + other.replayed_tokens,
            self.verifier_tokens + other.verifier_tokens,
            self.verifier_calls + other.verifier_calls,
            self.calls + other.calls,
            self.flops + other.flops,
            self.usd + other.usd,
            self.seconds + other.seconds,
            self.sequential_tokens + other.sequential_tokens,
            self.draft_tokens + other.draft_tokens,
            self.ideal_seconds + other.ideal_seconds,
        )

    def __or__(self, other: Usage) -> Usage:
        both = self + other
        return replace(
            both,
            seconds=max(self.seconds, other.seconds),
            sequential_tokens=max(self.sequential_tokens, other.sequential_tokens),
        )

    @classmethod
    def total(cls, usages: Iterable[Usage]) -> Usage:
        """All of them one after the other: what `+` makes of them, and fast for many."""
        return cls(*map(sum, zip(*map(_AMOUNTS, usages), strict=True)))

    def as_verifier(self) -> Usage:
        """The same cost when the work was a verifier's: its tokens are verifier tokens.

        Calls are not carried over: a verifier is charged by judged trajectory, however many
        requests it needs for one.
        """
        return Usage(
            verifier_tokens=self.total_tokens,
            flops=self.flops,
            usd=self.usd,
            ideal_seconds=self.ideal_seconds,
        )

    def as_dict(self) -> dict[str, int | float]:
        """All components by name."""
        return dict(zip(_COMPONENTS, _AMOUNTS(self), strict=True))

    def __str__(self) -> str:
        parts = [
            f"{self.completion_tokens:,} completion tokens ({self.sequential_tokens:,} sequential)",
            f"{self.prompt_tokens:,} prompt tokens ({self.cached_tokens:,} cached)",
            f"{self.calls:,} calls",
        ]
        if self.draft_tokens:
            parts.append(f"{self.draft_tokens:,} of the completion tokens by the draft model")
        if self.verifier_calls:
            verifier = f"{self.verifier_calls:,} verifier calls"
            parts.append(f"{verifier} ({self.verifier_tokens:,} tokens)")
        parts.append(f"{self.flops:.3g} FLOPs")
        if self.usd:
            parts.append(f"${self.usd:.4f}")
        if self.ideal_seconds:
            parts.append(f"{self.ideal_seconds:.2f} s idealised")
        return ", ".join([*parts, f"{self.seconds:.2f} s"])


_COMPONENTS = tuple(f.name for f in fields(Usage))
_AMOUNTS = attrgetter(*_COMPONENTS)


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What the accounts need to know of a model.

    Attributes:
        name: As the user named it.
        active_params: Weights that multiply an activation for each token (embedding look-ups do
            not; of a mixture of experts only the chosen ones do).
        n_layers: Transformer layers.
        attention_width: Query heads times head size, per layer.
        context: Most tokens that prompt and answer may have together.
        tokenizer: Identity of the tokenizer, for `Segment.tokenizer`.
        usd_per_prompt_token: List price of a prompt token that is not cached, in dollars.
        usd_per_cached_token: List price of a cached prompt token, in dollars.
        usd_per_completion_token: List price of a generated token, in dollars.
        seconds_per_call: Of the idealised runtime, for each request.
        seconds_per_prompt_token: The same for each prompt token that is not cached.
        seconds_per_completion_token: The same for each generated token.
    """

    name: str
    active_params: int = 0
    n_layers: int = 0
    attention_width: int = 0
    context: int = 1 << 62
    tokenizer: str = ""
    usd_per_prompt_token: float = 0.0
    usd_per_cached_token: float = 0.0
    usd_per_completion_token: float = 0.0
    seconds_per_call: float = 0.0
    seconds_per_prompt_token: float = 0.0
    seconds_per_completion_token: float = 0.0

    @property
    def priced(self) -> bool:
        """Whether a price of it is known."""
        return bool(
            self.usd_per_prompt_token or self.usd_per_cached_token or self.usd_per_completion_token
        )

    def flops(self, start: int, stop: int) -> float:
        """Nominal FLOPs of a forward pass over positions `start` to `stop` - 1.

        Two per weight and token, and four per layer, attention width and attended position
        (scores and values), the usual rule for decoder-only transformers.
        """
        n = stop - start
        attended = n * (start + stop - 1) / 2
        return 2.0 * self.active_params * n + 4.0 * self.n_layers * self.attention_width * attended

    def usage(self, prompt: int, cached: int, completion: int) -> Usage:
        """The cost of one request: prompt tokens, those of them cached, and generated tokens."""
        dollars = (
            (prompt - cached) * self.usd_per_prompt_token
            + cached * self.usd_per_cached_token
            + completion * self.usd_per_completion_token
        )
        seconds = (
            self.seconds_per_call
            + (prompt - cached) * self.seconds_per_prompt_token
            + completion * self.seconds_per_completion_token
        )
        return Usage(
            prompt_tokens=prompt,
            cached_tokens=cached,
            completion_tokens=completion,
            calls=1,
            flops=self.flops(cached, prompt + completion),
            usd=dollars,
            sequential_tokens=completion,
            ideal_seconds=seconds,
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """An extracted answer: the text as written, and the key under which equal answers meet."""

    text: str
    key: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A possible final answer. `answer` is None where none could be extracted; it never votes."""

    trajectory: Trajectory
    answer: Answer | None

    @property
    def score(self) -> Score | None:
        """What a verifier said of it, if one was asked."""
        return self.trajectory.score


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a strategy shows its controller when it asks for more.

    Attributes:
        candidates: What has been found, in the order of the samples.
        wants: How many more samples (or expansions) the strategy would like, at least 1.
        usage: What the problem has cost so far.
    """

    candidates: tuple[Candidate, ...]
    wants: int
    usage: Usage = Usage()


@dataclass(frozen=True, slots=True)
class Basis:
    """What a decision rested on: with all decisions of a desk it can be taken again.

    Attributes:
        evidence: What the problem showed.
        asked: Turn of the desk at which it asked, from 1; from then on the controller saw it.
        turn: Turn of the decision, the last at which the controller saw that evidence.
        by: Who decided: the `controller`; the `desk`, as all waited and nobody was granted
            anything; or `nobody`, as the problem left (its time was up, say) before anyone did.
        shared: Whether problems shared the desk.
        sitting: Name of the sitting of the run, where a log holds several.
        left: What the controller read, at that turn, of what was left of the pot, by limit.
        spent: What it read of what the pot had paid; None if it did not look.
        present: Problems that were being solved at that desk.
        coming: Problems that had not begun; None if nobody knew.
    """

    evidence: Evidence
    asked: int
    turn: int
    by: Literal["controller", "desk", "nobody"] = "controller"
    shared: bool = False
    sitting: str = ""
    left: Mapping[str, float] = field(default_factory=_nothing)
    spent: Usage | None = None
    present: int = 1
    coming: int | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """The controller lets a problem go on with up to `samples` more.

    The desk adds what the decision rested on, which is no part of what it says.
    """

    problem_id: ProblemId
    samples: int
    reason: str = ""
    basis: Basis | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Stop:
    """The controller ends a problem. See `Grant` for `basis`."""

    problem_id: ProblemId
    reason: str = ""
    basis: Basis | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Published:
    """Event: a strategy has a best answer so far."""

    problem_id: ProblemId
    candidate: Candidate


@dataclass(frozen=True, slots=True)
class Spent:
    """Event: something was paid for; `usage` is the increment."""

    problem_id: ProblemId
    usage: Usage


@dataclass(frozen=True, slots=True)
class Decided:
    """Event: the controller granted or stopped."""

    problem_id: ProblemId
    decision: Grant | Stop


@dataclass(frozen=True, slots=True)
class Done:
    """Event: a problem ended, well or not."""

    problem_id: ProblemId
    result: Result


Event = Published | Spent | Decided | Done
Status = Literal["done", "exhausted", "failed"]


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a problem.

    Attributes:
        problem_id: Of the problem.
        best: The strategy's choice, or the best published candidate if it could not end.
        candidates: All that the strategy looked at, in the order of the samples.
        usage: What the problem cost, everything included.
        tree: The leaves of the search tree, discarded and aborted branches included.
        status: `done`; `exhausted` if a limit of the budget (named by `limit`) ended the search;
            `failed` if a fault did (`error`), which is no answer.
        limit: The field of the budget that ran out, or empty; behind `total_budget.` if it is that
            of all problems together.
        decisions: What the controller decided, in order, and on what basis.
        error: The fault, if there was one.
        repeat: Which repetition of the problem this is.
        details: What the strategy tells of its search, by name, of JSON types.
    """

    problem_id: ProblemId
    best: Candidate | None
    candidates: tuple[Candidate, ...] = ()
    usage: Usage = Usage()
    tree: tuple[Trajectory, ...] = ()
    status: Status = "done"
    limit: str = ""
    decisions: tuple[Grant | Stop, ...] = ()
    error: Exception | None = None
    repeat: int = 0
    details: Mapping[str, Any] = field(default_factory=_nothing)

    @property
    def answer(self) -> str | None:
        """The final answer as the model wrote it, or None."""
        return self.best.answer.text if self.best and self.best.answer else None
