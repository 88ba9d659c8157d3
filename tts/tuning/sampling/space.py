"""The space of a sampling tuner: temperature, truncations, prompts; what of it is worth trying.

A point is one arm. Points that draw the same are one point: at temperature 0, or with one token to
draw from, nothing else of the sampling matters. Knows strategies by what they say of themselves,
and nothing of models.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from typing import Any

from tts.errors import ConfigError
from tts.protocols import Strategy
from tts.strategies import Greedy
from tts.types import Sampling

OWN = "own"
"""Name of the prompt that the task itself has."""

FIELDS = tuple(field.name for field in fields(Sampling))
"""What can be varied beside the prompt."""

DEFAULT = "default"
"""Whose point is the one that would be used without tuning."""


@dataclass(frozen=True, slots=True)
class Point:
    """How tokens are drawn, and what is asked.

    Attributes:
        sampling: Temperature and truncations.
        prompt: Name of the prompt.
    """

    sampling: Sampling
    prompt: str = OWN

    def words(self) -> dict[str, Any]:
        """All its values by name, the prompt's included."""
        return {**asdict(self.sampling), "prompt": self.prompt}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A point that is tried.

    Attributes:
        label: What tells it from the others, unique among them.
        point: What it is.
        source: Where it comes from: 'default', 'generation_config' or 'grid'.
    """

    label: str
    point: Point
    source: str


@dataclass(frozen=True, slots=True)
class Space:
    """What is tried under a strategy, and what is not.

    Attributes:
        candidates: The default first; at least one.
        skipped: By label, why a point is not tried.
    """

    candidates: tuple[Candidate, ...]
    skipped: Mapping[str, str]

    @property
    def default(self) -> Candidate:
        """What would be used without tuning."""
        return self.candidates[0]


def read_axis(name: str, values: Sequence[str]) -> tuple[float, ...]:
    """The values of a field of the sampling, as typed.

    Args:
        name: Of the field.
        values: At least one.

    Raises:
        ConfigError: There is no such field, or a value is out of its range.
    """
    if name not in FIELDS:
        close = get_close_matches(name, FIELDS, n=1)
        raise ConfigError(
            f"There is no field sampling.{name}.",
            hint=f"Did you mean sampling.{close[0]}?"
            if close
            else f"There are: {', '.join(FIELDS)}, and prompt.",
        )
    return tuple(_read(name, value.strip()) for value in values)


def _read(name: str, text: str) -> float:
    kind = int if name == "top_k" else float
    try:
        value = kind(text)
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise ConfigError(
            f"sampling.{name} is {text or 'empty'}; it must be {what}.",
            hint=f"List the values: sampling.{name}={'0,20' if kind is int else '0.5,1'}.",
        ) from None
    try:
        replace(Sampling(), **{name: value})  # type: ignore[arg-type]  # FIELDS are its fields
    except ValueError as error:
        raise ConfigError(f"{error}.") from None
    return value


def is_deterministic(sampling: Sampling) -> bool:
    """Whether every draw is the likeliest token."""
    return sampling.temperature == 0 or sampling.top_k == 1


def space(
    default: Sampling,
    axes: Mapping[str, Sequence[float]],
    prompts: Sequence[str],
    strategy: Strategy,
    recommended: Sampling | None = None,
) -> Space:
    """All points of a grid, the default, and what the model's authors recommend.

    Args:
        default: What would be used without tuning; fields without an axis stay as they are here.
        axes: Values by field.
        prompts: Names; the default's is always the task's own.
        strategy: Decides which points make sense.
        recommended: By the checkpoint's `generation_config.json`, if it says anything.

    Raises:
        ConfigError: Nothing is left to choose from.
    """
    asked = [("default", Point(default))]
    if recommended is not None:
        asked.append(("generation_config", Point(recommended)))
    fixed = isinstance(strategy, Greedy)
    heard = {} if fixed else axes
    grid = itertools.product(*heard.values(), prompts or (OWN,))
    asked += [("grid", _moved(default, heard, values)) for values in grid]
    points: dict[Point, tuple[str, Point]] = {}
    for source, point in asked:
        points.setdefault(_essence(point, fixed=fixed), (source, point))
    names = list(_labels([point for _, point in points.values()]))
    named = [(n, s, p) for n, (s, p) in zip(names, points.values(), strict=True)]
    found = [Candidate(label, point, source) for label, source, point in named]
    skipped = _useless(found, strategy)
    kept = tuple(each for each in found if each.label not in skipped)
    if fixed and axes:
        what = f"{type(strategy).__name__} decodes at temperature 0, whatever the sampling says"
        if len(kept) < 2:
            raise ConfigError(
                f"sampling: {what}.", hint="Take strategy=self_consistency strategy.n=1."
            )
        skipped = {**skipped, "sampling": f"{what}: prompts alone are compared"}
    if kept[:1] != tuple(found[:1]):
        raise ConfigError(
            f"model.sampling: at its present values {skipped[found[0].label]}.",
            hint="Set model.sampling.temperature=0.8, say; it is what the others are compared"
            " with.",
        )
    if len(kept) < 2:
        raise ConfigError(
            "sampling: there is nothing to choose from; every point draws as the default does, or"
            " makes no sense under the strategy.",
            hint="Give sampling.temperature=0.4,0.8,1.2, or prompt=own,NAME with --prompts FILE.",
        )
    return Space(kept, skipped)


def _moved(default: Sampling, axes: Mapping[str, Sequence[float]], values: Sequence[Any]) -> Point:
    """The default with the values of one point of the grid, the last of which is the prompt."""
    changed = dict(zip(axes, values[:-1], strict=True))
    return Point(replace(default, **changed), values[-1])


def _essence(point: Point, *, fixed: bool) -> Point:
    """The same for all points that draw the same; `fixed` if the sampling is not listened to."""
    if fixed or is_deterministic(point.sampling):
        return replace(point, sampling=Sampling(temperature=0.0))
    return point


def _labels(points: Iterable[Point]) -> Iterator[str]:
    """What tells points apart: their values where any two of them differ."""
    points = list(points)
    rows = [point.words() for point in points]
    telling = [name for name in rows[0] if len({row[name] for row in rows}) > 1]
    for point, row in zip(points, rows, strict=True):
        named = [name for name in telling if name in _heard(point.sampling)]
        yield " ".join(f"{name}={_short(row[name])}" for name in named) or DEFAULT


def _heard(sampling: Sampling) -> tuple[str, ...]:
    """The values that matter to a draw."""
    if sampling.temperature == 0:
        return ("temperature", "prompt")
    return ("top_k", "prompt") if is_deterministic(sampling) else (*FIELDS, "prompt")


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _useless(found: Iterable[Candidate], strategy: Strategy) -> dict[str, str]:
    """By label, why a point makes no sense under a strategy."""
    n = getattr(strategy, "n", None)
    if not isinstance(n, int) or n < 2:
        return {}
    name = type(strategy).__name__
    why = f"all {n} samples of {name} would be the same"
    return {each.label: why for each in found if is_deterministic(each.point.sampling)}
