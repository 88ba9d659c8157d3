"""The chains of a run: what was in them, by arm, for right and wrong answers apart.

Reads a folder tree by tree, and keeps figures only. The unit of every interval is the problem: the
mean over its chains of a kind is one value, and whole problems are resampled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from tts.analysis import Portrait, Reader, portrait
from tts.errors import ConfigError
from tts.evaluation.records import CandidateRecord, Record
from tts.evaluation.statistics import bootstrap
from tts.evaluation.store import RESULTS, Trees, modernise, read
from tts.evaluation.trees import TreeRecord

Kind = Literal["right", "wrong", "ungraded", "no answer"]
KINDS: tuple[Kind, ...] = ("right", "wrong", "ungraded", "no answer")


@dataclass(frozen=True, slots=True)
class Portrayed:
    """A chain of a run.

    Attributes:
        arm: Under which it was sampled.
        problem_id: Of the problem.
        kind: What came of it.
        portrait: Its figures.
        counted: Whether its tokens were counted, not estimated from characters.
    """

    arm: str
    problem_id: str
    kind: Kind
    portrait: Portrait
    counted: bool


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean over problems with its 95% interval, which is None where there is no spread."""

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Group:
    """The chains of one arm and kind.

    Attributes:
        arm: Under which they were sampled.
        kind: What came of them.
        chains: Their number, at least 1.
        problems: Number of problems that have any.
        concluding: How many of them conclude their final answer, so that it can be said how much
            of them was redundant.
        counted: Whether the tokens of all of them were counted, not estimated from characters.
        figures: By the name of the attribute of `Portrait`; those that no chain tells are missing.
    """

    arm: str
    kind: Kind
    chains: int
    problems: int
    concluding: int
    counted: bool
    figures: Mapping[str, Figure]


COUNTS = ("tokens", "steps", "reflections")
SHARES = ("first_seen", "first_concluded", "redundant", "failed", "agreement")


def chains_of(folder: Path, reader: Reader, arm: str | None = None) -> Iterator[Portrayed]:
    """The chains of a run, problem by problem; a node that several candidates share counts once.

    Args:
        folder: Of the run; it must have kept texts.
        reader: Takes chains apart.
        arm: Only this one.

    Raises:
        ConfigError: There are no results, no such arm, or no texts.
    """
    records, trees = kept(folder, arm)
    for record in records:
        yield from _portrayed(record, trees[record.file_key], reader)


def kept(folder: Path, arm: str | None = None) -> tuple[list[Record], Trees]:
    """The last record under each key that has a tree, and the trees; failed ones are left out.

    Raises:
        ConfigError: There are no results, no such arm, or no texts.
    """
    records, trees = _records(folder, arm), Trees(folder)
    found = [record for record in records if record.file_key in trees]
    if not any(record.candidates for record in found):
        raise ConfigError(
            f"{folder} kept no texts, and so no chains to analyse.",
            hint="Run it with keep=texts, or keep=tokens for exact numbers of tokens.",
        )
    return found, trees


def kind_of(candidate: CandidateRecord) -> Kind:
    """What came of a candidate."""
    if candidate.answer is None:
        return "no answer"
    if candidate.correct is None:
        return "ungraded"
    return "right" if candidate.correct else "wrong"


def _records(folder: Path, arm: str | None) -> list[Record]:
    """The last record under each key; those that failed are left out."""
    if not (folder / RESULTS).is_file():
        raise ConfigError(f"{folder} holds no {RESULTS}.", hint="Name the folder of a run.")
    modernise(folder)
    last = {record.file_key: record for record in read(folder / RESULTS)}
    found = [record for record in last.values() if not record.failed]
    if arm is None:
        return found
    arms = list(dict.fromkeys(record.arm for record in found))
    if arm not in arms:
        close = get_close_matches(arm, arms, n=1)
        hint = f"Did you mean {close[0]}?" if close else f"There are: {', '.join(arms)}."
        raise ConfigError(f"--arm: {folder} has no arm {arm}.", hint=hint)
    return [record for record in found if record.arm == arm]


def _rate(tree: TreeRecord) -> float | None:
    """Tokens a character, by the one piece whose logical clock is sure to hold its tokens alone.

    That is the first that was known: whatever else grew from the root may have waited before.
    """
    roots = (node for node in tree.nodes if node.parent < 0 and node.origin == "model")
    first = min(roots, key=lambda node: node.clock, default=None)
    return first.clock / len(first.text) if first and first.clock and first.text else None


def _portrayed(record: Record, tree: TreeRecord, reader: Reader) -> Iterator[Portrayed]:
    seen: set[int] = set()
    rate = _rate(tree)
    zipped = zip(record.candidates, tree.candidates, tree.trajectories(), strict=True)
    for candidate, place, trajectory in zipped:
        if place in seen:
            continue
        seen.add(place)
        found = portrait(trajectory, candidate.answer, reader, rate)
        counted = all(s.tokens or s.logprobs for s in trajectory.segments() if s.origin == "model")
        kind = kind_of(candidate)
        yield Portrayed(record.arm, record.problem_id, kind, found, counted)


def groups(chains: Sequence[Portrayed]) -> list[Group]:
    """The figures by arm and kind, in the order of the arms."""
    arms = dict.fromkeys(chain.arm for chain in chains)
    kinds: dict[tuple[str, Kind], list[Portrayed]]
    kinds = {(arm, kind): [] for arm in arms for kind in KINDS}
    for chain in chains:
        kinds[chain.arm, chain.kind].append(chain)
    return [_group(arm, kind, own) for (arm, kind), own in kinds.items() if own]


def _group(arm: str, kind: Kind, chains: Sequence[Portrayed]) -> Group:
    figures = {name: _figure(chains, name) for name in (*COUNTS, *SHARES)}
    return Group(
        arm=arm,
        kind=kind,
        chains=len(chains),
        problems=len({chain.problem_id for chain in chains}),
        counted=all(chain.counted for chain in chains),
        concluding=sum(chain.portrait.redundant is not None for chain in chains),
        figures={name: figure for name, figure in figures.items() if figure},
    )


def _figure(chains: Sequence[Portrayed], name: str) -> Figure | None:
    by_problem: dict[str, list[float]] = {}
    for chain in chains:
        value = getattr(chain.portrait, name)
        if value is not None:
            by_problem.setdefault(chain.problem_id, []).append(value)
    return over_problems(by_problem) if by_problem else None


def over_problems(by_problem: Mapping[str, Sequence[float]]) -> Figure:
    """The mean over problems of the mean of their values; at least one problem, none empty."""
    values = [sum(own) / len(own) for own in by_problem.values()]
    largest = max(map(abs, values)) or 1.0
    mean = sum(values) / len(values)
    if max(values) - min(values) <= 1e-12 * largest:
        return Figure(mean, None, None)
    # On a scale of its own: the bootstrap rounds to a lattice that is meant for shares.
    least = 0.0 if min(values) >= 0 else -1.0
    found = bootstrap([value / largest for value in values], bounds=(least, 1.0))
    return Figure(mean, found.low * largest, found.high * largest)
