"""Our strategies as a model of Inspect's benchmarks (`inspect_ai`): one `generate` is one `solve`.

Knows nothing of Hydra: what `inspect eval --model tts/...` is told, `tts.cli.inspect_models` reads.

    inspect_ai.eval(task, model=model(lambda: Setup(strategy, backend)))

* What the benchmark gets is the text of the best candidate, as the strategy chose. If the budget
  ended before there was any, it gets an empty text, with the reason. Faults are raised.
* Usage is what the whole search took; `metadata["tts"]` holds the rest of its cost and its choice.
* Each epoch draws anew, and so does the same question asked again within a sample.
* Inspect decides how many samples run at once. Errors are not retried at its level, since backends
  do so themselves where it makes sense.
* Engines are closed at the end of an evaluation, and started anew by the next. Who asks the model
  outside of one closes it: `async with model(...) as found: ...`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import fields
from functools import cache
from typing import Any

from inspect_ai.hooks import Hooks, RunEnd, hooks
from inspect_ai.log._samples import sample_active
from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    GenerateConfig,
    Model,
    ModelAPI,
    ModelOutput,
    ModelUsage,
    StopReason,
    modelapi,
)
from inspect_ai.tool import ToolChoice, ToolInfo

from tts.errors import ConfigError
from tts.integrations._conversation import configured, messages_of, problem_of
from tts.protocols import Backend, Startable
from tts.solve import Setup, solve
from tts.types import Problem, Result, Usage

_REASONS: dict[str | None, StopReason] = {"stop": "stop", "step": "stop", "length": "max_tokens"}
_working: set[StrategyModel] = set()  # Inspect tells of the end of a run, but not to its models


class StrategyModel(ModelAPI):
    """A model that answers by searching, see the module.

    Args:
        make: Makes how problems are solved; called now, and again after a close.
        name: What logs call it.
        config: Inspect's settings that hold unless a request says otherwise.
        connections: Most problems at once, unless Inspect is told another number; at least 1.

    Raises:
        ConfigError: The setup cannot be made, or a setting cannot be honoured.
    """

    def __init__(
        self,
        make: Callable[[], Setup],
        name: str = "strategy",
        *,
        config: GenerateConfig | None = None,
        connections: int = 64,
    ) -> None:
        super().__init__(name, config=config or GenerateConfig())
        _close_at_the_end()
        self._make = make
        self._connections = connections
        self._setup: Setup | None = make()
        self._asked: Counter[tuple[str, str, int]] = Counter()
        configured(self._setup, config or GenerateConfig())

    def max_connections(self) -> int:
        """Most problems at once, unless Inspect is told another number."""
        return self._connections

    def connection_key(self) -> str:
        """Whose requests are counted together: those of this very model."""
        return f"{self.model_name} {id(self)}"

    async def generate(
        self,
        input: list[ChatMessage],
        tools: list[ToolInfo],
        tool_choice: ToolChoice,
        config: GenerateConfig,
    ) -> ModelOutput:
        """Solve what a conversation asks.

        Raises:
            ConfigError: It asks for what a strategy cannot do; nothing was spent.
            BackendError: The backend failed for good.
            VerifierError: The verifier failed.
        """
        if tools:
            raise ConfigError(
                f"The benchmark offers tools ({tools[0].name}), which no strategy can call.",
                hint="Choose a benchmark without tools.",
            )
        self._setup = self._setup or self._make()
        setup = configured(self._setup, config)
        setup.check_total(None)
        problem = self._problem(input)
        options: dict[str, Any] = {f.name: getattr(setup, f.name) for f in fields(setup)}
        result = await solve(problem, **options)
        return _output(self.model_name, result, priced=setup.backend.model.priced)

    def _problem(self, conversation: list[ChatMessage]) -> Problem:
        messages = messages_of(conversation)
        sample = sample_active()
        place, epoch, attempt = "", 1, ""
        if sample is not None:
            _working.add(self)
            place, epoch, attempt = str(sample.sample.id), sample.epoch, sample.id
        first = problem_of(messages, place, epoch, 0)
        key = (attempt, first.id, epoch)
        self._asked[key] += 1
        return problem_of(messages, place, epoch, self._asked[key] - 1)

    async def aclose(self) -> None:
        """Close backends and verifier; the next request makes them anew."""
        setup, self._setup = self._setup, None
        _working.discard(self)
        self._asked.clear()
        if setup is not None:
            await _close(setup)


def model(
    make: Callable[[], Setup], name: str = "tts", *, config: GenerateConfig | None = None
) -> Model:
    """A model of Inspect's that answers by searching.

    Args:
        make: Makes how problems are solved; called now, and again for each run after the first.
        name: What logs call it, behind `strategy/`.
        config: Inspect's settings that hold unless a request says otherwise.

    Raises:
        ConfigError: The setup cannot be made, or a setting cannot be honoured.
    """
    config = config or GenerateConfig()
    return Model(_registered(make, name, config=config), config)


_registered: Callable[..., ModelAPI] = modelapi(name="strategy")(StrategyModel)


async def _close(setup: Setup) -> None:
    """Close all parts, also if one cannot be."""
    parts: list[Backend | Startable | None] = [setup.backend, setup.verifier_backend, setup.draft]
    if setup.verifier is not None and isinstance(setup.verifier, Startable):
        parts.append(setup.verifier)
    closing = [part.aclose() for part in parts if part is not None]
    for error in await asyncio.gather(*closing, return_exceptions=True):
        if isinstance(error, BaseException):
            raise error


def _output(name: str, result: Result, *, priced: bool) -> ModelOutput:
    """What came of a problem, in the words of Inspect."""
    best = result.best
    reason: StopReason = "max_tokens" if result.status == "exhausted" else "unknown"
    if best is not None:
        reason = _REASONS.get(best.trajectory.finish, reason)
    text = best.trajectory.text if best else ""
    said = ChatMessageAssistant(content=text, model=name, source="generate")
    return ModelOutput(
        model=name,
        choices=[ChatCompletionChoice(message=said, stop_reason=reason)],
        usage=_usage(result.usage, priced=priced),
        metadata={"tts": _about(result)},
    )


def _usage(usage: Usage, *, priced: bool) -> ModelUsage:
    return ModelUsage(
        input_tokens=usage.prompt_tokens - usage.cached_tokens,
        input_tokens_cache_read=usage.cached_tokens,
        output_tokens=usage.completion_tokens,
        total_tokens=usage.prompt_tokens + usage.completion_tokens,
        total_cost=usage.usd if priced else None,
    )


def _about(result: Result) -> dict[str, Any]:
    """What Inspect has no field for."""
    score = result.best.score if result.best else None
    return {
        "problem": result.problem_id,
        "repeat": result.repeat,
        "status": result.status,
        "limit": result.limit,
        "answer": result.answer,
        "score": score.raw if score else None,
        "candidates": [c.answer.text if c.answer else None for c in result.candidates],
        "usage": result.usage.as_dict(),
    }


@cache
def _close_at_the_end() -> None:
    """Have Inspect tell when a run ends; only once there is a model that must know."""

    @hooks(name="tts", description="Closes the engines of tts at the end of a run.")
    class Closing(Hooks):
        """Closes the models that have worked in a run, in the event loop in which they did."""

        async def on_run_end(self, data: RunEnd) -> None:
            """Close them."""
            for model in list(_working):
                await model.aclose()
