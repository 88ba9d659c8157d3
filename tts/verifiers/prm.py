"""Process and outcome reward models as verifiers, on an engine of their own or on a vLLM server.

What a family of models wants to read, and where its judgement stands, is the business of a format
(`tts/verifiers/_prm`); the engine knows ids and values only. Sources: Lightman et al. 2023 ("Let's
Verify Step by Step"), Wang et al. 2024 ("Math-Shepherd"), Puri et al. 2025 ("Rollout Roulette").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from tts.engine.config import EngineConfig
from tts.engine.reward import RewardEngine
from tts.errors import ConfigError, ContextTooLong
from tts.protocols import VerifierContext
from tts.types import Capability, Problem, Scale, Score, Trajectory, Usage
from tts.verifiers._prm.aggregation import aggregate, check_aggregation, needed
from tts.verifiers._prm.choice import choose
from tts.verifiers._prm.format import Encoded, id_of
from tts.verifiers._prm.reading import Reader, Source, Stats
from tts.verifiers._prm.server import RewardServer
from tts.verifiers._prm.together import together

_MARGIN = 2
"""Tokens that another tokenizer, and the marks of the steps, may make of one of the policy's."""


class PRM:
    """Scores answers, also unfinished ones, with a reward model.

    Making one finds the model, or asks the server, and checks that format, head and tokenizer fit
    each other. `start`, or the first answer, starts the engine.

    Args:
        model: A bundled model, a local path, or a hub name.
        format: How it wants to be asked: `mini`, `qwen`, `math_shepherd`, `rlhflow`, `skywork`,
            `outcome`; `auto` goes by its name.
        aggregation: One score of those of the steps: `prod`, `min`, `last`, `mean`, or `model` (the
            whole answer is shown as one step); by default as its authors do it.
        engine: Settings of the engine in this process, see `tts.engine.EngineConfig`.
        server: Address of a vLLM server that runs the model instead.
        served_name: Name of the model at the server; `model` by default.
        tokenizer: Of the model on a server: a path, or a bundled or hub name. By default the
            checkpoint that the server names, if it is on this machine, or else `model`.
        in_flight: Most requests at once, at least 1.
        api_key_env: Variable that holds the server's key; unset is fine.
        timeout_seconds: Longest wait for a reply of the server.
        retries: Most repetitions of a request to it.

    Raises:
        ConfigError: A setting cannot be used, or the model, its tokenizer and the format do not fit
            each other.
        ModelNotFound: The name leads to no model.
        Unsupported: The checkpoint is no reward model, or this machine cannot run it.
    """

    def __init__(
        self,
        model: str = "mini-prm",
        *,
        format: str = "auto",
        aggregation: str | None = None,
        engine: EngineConfig | Mapping[str, Any] | None = None,
        server: str | None = None,
        served_name: str | None = None,
        tokenizer: str | None = None,
        in_flight: int = 64,
        api_key_env: str = "VLLM_API_KEY",
        timeout_seconds: float = 600.0,
        retries: int = 5,
    ) -> None:
        if in_flight < 1:
            raise ConfigError(f"verifier.in_flight is {in_flight}; it must be at least 1.")
        if server is None:
            _refuse_settings_of_a_server(served_name, tokenizer)
            self._source: Source = RewardEngine(model, engine)
        else:
            _refuse_settings_of_an_engine(engine)
            self._source = RewardServer(
                model, server, served_name, tokenizer, api_key_env, timeout_seconds, retries
            )
        source, text = self._source, self._source.text
        self._format = choose(format, model, source.head, source.labels, text)
        self._aggregation = check_aggregation(aggregation, self._format)
        bounded = not (source.head == "sequence" and source.labels == 1)
        self._scale: Scale = "probability" if bounded else "reward"
        signs = self._format.signs
        numbers = (id_of(text, signs[0]), id_of(text, signs[1])) if signs else None
        self._reader = Reader(source, numbers, bounded, in_flight)

    def __repr__(self) -> str:
        return f"PRM({self._source.model.name!r}, format={self._format.name!r})"

    @property
    def requires(self) -> frozenset[Capability]:
        """Nothing: it works on a model of its own."""
        return frozenset()

    @property
    def partial(self) -> bool:
        """Whether unfinished answers can be judged: all formats but `outcome`."""
        return self._format.head != "sequence"

    @property
    def stats(self) -> Stats:
        """What it took."""
        return self._reader.stats

    def identity(self) -> Mapping[str, Any]:
        """The checkpoint, its numerics, the format and the aggregation."""
        cut = {"context": self._source.model.context} if self._format.cuts else {}
        return {
            "verifier": "prm",
            "format": self._format.name,
            "aggregation": self._aggregation,
            "model": dict(self._source.identity()),
            **cut,
        }

    def bound(self, problem: Problem, tokens: int, ctx: VerifierContext) -> Usage:
        """One call, and the reading of the whole answer once.

        Exact where the model reads the policy's own tokens. Otherwise an estimate: the prompt as
        the model reads it, and twice the policy's tokens, up to the context. The lease under which
        an answer is read knows the truth, so an estimate that is too low cannot overspend.
        """
        model = self._source.model
        same = self._format.exact and ctx.backend.model.tokenizer == model.tokenizer
        longest = tokens if same else self._prompt(problem) + _MARGIN * tokens
        usage = model.usage(min(longest, model.context), 0, 0)
        return replace(usage.as_verifier(), verifier_calls=1)

    async def score(
        self, problem: Problem, trajectories: Sequence[Trajectory], ctx: VerifierContext
    ) -> list[Score]:
        """One probability a trajectory, or one reward of an outcome model without bounds.

        All are read at once. A reading is charged with the tokens of the text, once. On an engine
        with a prefix cache those of nodes that were read before in this problem, on whatever
        branch, cost no FLOPs; what the cache really holds makes no difference to the accounts.

        Raises:
            ContextTooLong: An answer is too long for the model; nothing was spent.
            BudgetExhausted: The budget cannot pay for all of them.
            BackendError: The engine or the server failed.
            VerifierError: What came back are no values.
        """
        texts = [self._encoded(problem, trajectory) for trajectory in trajectories]
        again = [
            self._read_before(problem, trajectory, text, ctx)
            for trajectory, text in zip(trajectories, texts, strict=True)
        ]
        return await together(
            [self._one(text, n, ctx) for text, n in zip(texts, again, strict=True)]
        )

    async def start(self) -> None:
        """Load the model; safe to call again, and from several tasks at once."""
        await self._source.start()

    async def aclose(self) -> None:
        """End the engine, or the connections; safe to call again."""
        await self._source.aclose()
        self._reader.reset()

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _one(self, encoded: Encoded, again: int, ctx: VerifierContext) -> Score:
        cost = self._source.model.usage(len(encoded.ids), again, 0).as_verifier()
        async with ctx.work(cost):
            scores = await self._reader.read(encoded)
        return Score(aggregate(scores, self._aggregation), self._scale)

    def _read_before(
        self, problem: Problem, trajectory: Trajectory, encoded: Encoded, ctx: VerifierContext
    ) -> int:
        """Tokens at the beginning of a text that were read before in this problem."""
        read: set[tuple[str, str]] = ctx.memory.setdefault((PRM, id(self)), set())
        above: Trajectory | None = trajectory
        fresh = []
        while above is not None and (name := _name(above)) not in read:
            fresh.append(name)
            above = above.parent
        read.update(fresh)
        if above is None or not self._source.caches:
            return 0
        ids = self._encoded(problem, above).ids
        same = (n for n, (a, b) in enumerate(zip(ids, encoded.ids, strict=False)) if a != b)
        return next(same, min(len(ids), len(encoded.ids)))

    def _encoded(self, problem: Problem, trajectory: Trajectory) -> Encoded:
        """What the model reads of an answer, within its context."""
        format, source = self._format, self._source
        whole = self._aggregation == "model"
        encoded = format.encode(problem, trajectory, source.text, whole)
        most = source.model.context - (source.head == "language")
        if len(encoded.ids) > most and not format.cuts:
            raise ContextTooLong(
                f"An answer to problem {problem.id!r} is {len(encoded.ids)} tokens long for"
                f" {source.model.name}, which takes {most}.",
                hint="Raise the engine's max_model_len, or lower max_tokens.",
            )
        return needed(encoded.end(most), self._aggregation)

    def _prompt(self, problem: Problem) -> int:
        """Tokens that the model reads of a problem without an answer."""
        empty = Trajectory.root()
        return len(self._format.encode(problem, empty, self._source.text, True).ids)


def _name(node: Trajectory) -> tuple[str, str]:
    """What a node is known by; the key alone is not enough where siblings were cut."""
    return node.key, node.segment.text if node.segment else ""


def _refuse_settings_of_a_server(served_name: str | None, tokenizer: str | None) -> None:
    for name, value in (("served_name", served_name), ("tokenizer", tokenizer)):
        if value is not None:
            raise ConfigError(
                f"verifier.{name} is for a model on a server, and there is no verifier.server.",
                hint="Leave it out: the model's own tokenizer is used.",
            )


def _refuse_settings_of_an_engine(engine: EngineConfig | Mapping[str, Any] | None) -> None:
    if engine is not None:
        raise ConfigError(
            "verifier.engine holds settings of an engine in this process, and verifier.server says"
            " that the model runs elsewhere.",
            hint="Leave out one of the two.",
        )
