"""A file of `tts plan`: which strategy for which pilot, fitted on the answers of one model.

Knows how it is read and checked; runs nothing. There are two kinds: bins, and a regression. Both
are refused for another model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from tts._author import Author
from tts.errors import ConfigError
from tts.protocols import Strategy
from tts.signals.pilot import Signal
from tts.strategies._rules import Bin, Bins, Forecast, Regression

_HINT = "Make one: tts plan RESULTS --budget N --out FILE."


class BinRecord(BaseModel):
    """A bin, as a file says it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    least: float | None = Field(description="Least value of the signal; null for all the rest.")
    strategy: dict[str, Any] = Field(description="`_target_` and its settings.")


class OptionRecord(BaseModel):
    """What a strategy is expected to come to, as a file says it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    strategy: dict[str, Any] = Field(description="`_target_` and its settings.")
    right: tuple[float, ...] = Field(description="Logit of the chance to be right: see `Forecast`.")
    tokens: tuple[float, ...] = Field(description="Logarithm of the tokens: see `Forecast`.")


class _Plan(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Author = Field(description="Whose answers it was fitted on.")
    signal: Signal = Field(description="What the pilot measures.")
    pilot: int = Field(ge=1, description="Samples of the pilot.")
    budget: float = Field(description="Completion tokens a problem that it was fitted to.")
    n_problems: int = Field(description="Problems in the fit.")

    def refuse_answers_of(self, author: Author, path: str) -> None:
        """Refuse another model than the one that it was fitted to.

        Raises:
            ConfigError: It is another one.
        """
        if not self.model.same(author):
            raise ConfigError(
                f"strategy.plan: {path} was fitted to answers of {self.model}, and these will be of"
                f" {author}.",
                hint="Fit one on runs of this model: tts plan RESULTS --budget N --out FILE.",
            )


class BinsPlan(_Plan):
    """A plan by bins, as a file says it."""

    kind: Literal["bins"] = Field(default="bins", description="What it is.")
    bins: tuple[BinRecord, ...] = Field(min_length=1, description="The easiest first.")

    def rule(self) -> Bins:
        """The rule, with its strategies.

        Raises:
            ConfigError: A strategy cannot be made, or the bins leave something open.
        """
        made = [
            Bin(make_strategy(b.strategy), -math.inf if b.least is None else b.least)
            for b in self.bins
        ]
        return Bins(tuple(made), self.signal)


class RegressionPlan(_Plan):
    """A plan by regression, as a file says it."""

    kind: Literal["regression"] = Field(default="regression", description="What it is.")
    price: float = Field(ge=0, description="Of a completion token, in right answers.")
    options: tuple[OptionRecord, ...] = Field(min_length=1, description="The cheapest first.")

    def rule(self) -> Regression:
        """The rule, with its strategies.

        Raises:
            ConfigError: A strategy cannot be made, or the weights are not one a feature.
        """
        made = [Forecast(make_strategy(o.strategy), o.right, o.tokens) for o in self.options]
        return Regression(tuple(made), self.signal, self.price)


PlanFile = BinsPlan | RegressionPlan
_FILE: TypeAdapter[PlanFile] = TypeAdapter(Annotated[PlanFile, Field(discriminator="kind")])


def read_plan(path: str | Path) -> PlanFile:
    """Read a file.

    Raises:
        ConfigError: It cannot be read, or holds something else.
    """
    try:
        return _FILE.validate_json(Path(path).expanduser().read_bytes())
    except OSError as error:
        raise ConfigError(
            f"strategy.plan: {path} cannot be read: {error.strerror}.", hint=_HINT
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "its beginning"
        raise ConfigError(
            f"strategy.plan: {path} is no plan ({where}: {first['msg']}).", hint=_HINT
        ) from error


def make_strategy(node: Mapping[str, Any]) -> Strategy:
    """The strategy that a node of a plan describes.

    Raises:
        ConfigError: It names none, or its settings cannot be used.
    """
    made = _made(node)
    if not callable(made) or not hasattr(made, "requires"):
        raise ConfigError(f"strategy.plan: {node.get('_target_')} is no strategy.", hint=_HINT)
    return cast(Strategy, made)


def _made(node: Any) -> Any:
    if not isinstance(node, Mapping) or "_target_" not in node:
        return node
    module, _, name = str(node["_target_"]).rpartition(".")
    try:
        kind = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"strategy.plan: there is no {node['_target_']}.", hint=_HINT) from error
    if not isinstance(kind, type) or not is_dataclass(kind):  # a file must not call just anything
        raise ConfigError(f"strategy.plan: {node['_target_']} is no strategy.", hint=_HINT)
    settings = {key: _made(value) for key, value in node.items() if key != "_target_"}
    try:
        return kind(**settings)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"strategy.plan: {node['_target_']} cannot be made: {error}.", hint=_HINT
        ) from error
