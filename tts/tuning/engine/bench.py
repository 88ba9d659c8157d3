"""The engines that are up at the same time, as many as fit the memory.

Starting an engine takes longer than measuring a piece, so those that may be asked again are kept.
One that needs room takes it from whoever was asked longest ago; where the memory holds one engine
alone (a GPU, say), each turn starts its engine anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from tts.tuning.engine.candidates import Candidate
from tts.tuning.engine.readings import Reading
from tts.types import Problem


class Measured(Protocol):
    """An engine that is up, see `tts.tuning.engine.trial.Trial`."""

    def measure(self, problems: Sequence[Problem], patience: float) -> Reading:
        """Solve problems."""
        ...

    def end(self) -> None:
        """End it."""
        ...


@dataclass
class _Place:
    """Who is up."""

    trial: Measured
    gib: float


class Bench:
    """Trials, started when they are asked for; use it as a block, which ends them all.

    Args:
        start: Starts a candidate's engine.
        need: GiB that a candidate takes.
        room: GiB that all together may take.
        warm_up: The piece that each engine solves first; its time is not counted.
    """

    def __init__(
        self,
        start: Callable[[Candidate], Measured],
        need: Callable[[Candidate], float],
        room: float,
        warm_up: Sequence[Problem],
    ) -> None:
        self._start, self._need, self._room, self._warm_up = start, need, room, warm_up
        self._places: dict[str, _Place] = {}  # the one that was asked last stands last

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self._places:
            self.drop(next(iter(self._places)))

    @property
    def names(self) -> set[str]:
        """Whose engines are up."""
        return set(self._places)

    def fit(self, candidates: Sequence[Candidate]) -> bool:
        """Whether several engines can be up at the same time."""
        return sum(map(self._need, candidates)) <= self._room

    def measure(
        self, candidate: Candidate, problems: Sequence[Problem], patience: float
    ) -> Reading:
        """Have a candidate solve problems; starts its engine if need be.

        Args:
            candidate: Which one.
            problems: At least one.
            patience: Seconds that it may take.

        Raises:
            TrialFailed: It could not; its engine has been ended.
        """
        self.ready(candidate, patience)
        try:
            return self._places[candidate.name].trial.measure(problems, patience)
        except BaseException:
            self.drop(candidate.name)
            raise

    def ready(self, candidate: Candidate, patience: float) -> None:
        """Start a candidate's engine and warm it up, unless it is up. Raises as `measure` does."""
        place = self._places.pop(candidate.name, None) or self._admit(candidate, patience)
        self._places[candidate.name] = place

    def drop(self, name: str) -> None:
        """End a candidate's engine, if it is up."""
        place = self._places.pop(name, None)
        if place is not None:
            place.trial.end()

    def _admit(self, candidate: Candidate, patience: float) -> _Place:
        gib = self._need(candidate)
        while self._places and gib + sum(p.gib for p in self._places.values()) > self._room:
            self.drop(next(iter(self._places)))
        trial = self._start(candidate)
        try:
            trial.measure(self._warm_up, patience)
        except BaseException:
            trial.end()
            raise
        return _Place(trial, gib)
