"""A plan: what to do with problems of each difficulty, inline or from a file of `tts plan`.

Knows how difficulty is measured and how a file is read; runs nothing. A file is fitted to one
model, and is refused for another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tts._author import Author
from tts.errors import ConfigError
from tts.protocols import Strategy
from tts.types import Candidate

Signal = Literal["agreement", "score"]
_HINT = "Make one: tts plan RESULTS --budget N --out FILE."


@dataclass(frozen=True)
class Bin:
    """Problems of like difficulty, and what is done with them.

    Args:
        strategy: Runs on what the pilot has left.
        least: Least value of the pilot's signal; a bin with -inf takes what no other does.
    """

    strategy: Strategy
    least: float = -math.inf


class BinRecord(BaseModel):
    """A bin, as a file says it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    least: float | None = Field(description="Least value of the signal; null for all the rest.")
    strategy: dict[str, Any] = Field(description="`_target_` and its settings.")


class PlanRecord(BaseModel):
    """A plan, as a file says it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Author = Field(description="Whose answers it was fitted on.")
    signal: Signal = Field(description="What the pilot measures.")
    pilot: int = Field(ge=1, description="Samples of the pilot.")
    bins: tuple[BinRecord, ...] = Field(min_length=1, description="The easiest first.")
    budget: float = Field(description="Completion tokens a problem that it was fitted to.")
    n_problems: int = Field(description="Problems in the fit.")

    @classmethod
    def read(cls, path: str | Path) -> PlanRecord:
        """Read a file.

        Raises:
            ConfigError: It cannot be read, or holds something else.
        """
        try:
            return cls.model_validate_json(Path(path).expanduser().read_bytes())
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

    def made(self) -> tuple[Bin, ...]:
        """The bins, with their strategies.

        Raises:
            ConfigError: One names no strategy, or cannot be made.
        """
        return tuple(
            Bin(make_strategy(b.strategy), -math.inf if b.least is None else b.least)
            for b in self.bins
        )

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


def difficulty(candidates: Sequence[Candidate], signal: Signal) -> float:
    """What a pilot's samples say of a problem; the easier, the larger.

    Args:
        candidates: The samples, in any number.
        signal: `agreement`: the share of all samples that give the leading answer, 0 to 1. `score`:
            their mean score, on the verifier's own scale.

    Returns:
        The signal; 0 for no samples, -inf if none has a score.
    """
    if signal == "score":
        scores = [c.score.raw for c in candidates if c.score is not None]
        return fmean(scores) if scores else -math.inf
    keys = [c.answer.key for c in candidates if c.answer]
    return max((keys.count(key) for key in set(keys)), default=0) / max(1, len(candidates))


def check_bins(bins: Sequence[Bin]) -> None:
    """Refuse bins that leave a problem out, or are in no order.

    Raises:
        ConfigError: They do.
    """
    if not bins or bins[-1].least > -math.inf:
        raise ConfigError(
            "strategy.bins leaves out the most difficult problems.",
            hint="Give the last bin no `least`.",
        )
    for above, below in pairwise(bins):
        if not above.least > below.least:
            raise ConfigError(
                f"strategy.bins: a bin from {below.least:g} follows one from {above.least:g}.",
                hint="Name the easiest bin first, the one with the largest `least`.",
            )
