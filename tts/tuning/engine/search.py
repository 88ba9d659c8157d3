"""The search: references, trials, contest.

Where the memory holds two engines, the defaults are measured beside every candidate, piece by
piece in turns; a ratio then compares two measurements that are seconds apart, and whatever else the
machine does hits both. Elsewhere candidates are compared with what the defaults took in the
beginning, and only the contest is in turns.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tts.tuning.engine.bench import Bench
from tts.tuning.engine.candidates import OURS, Candidate
from tts.tuning.engine.knobs import Point
from tts.tuning.engine.readings import (
    Objective,
    Reading,
    differing,
    percentile,
    ratio,
    shown,
)
from tts.tuning.engine.stopping import is_behind, spread
from tts.tuning.engine.study import Study
from tts.tuning.engine.trial import TrialFailed
from tts.tuning.engine.tried import Status, Tried
from tts.tuning.engine.turns import order
from tts.types import Problem

FINALISTS = 3
"""Candidates that are measured again at the end, beside the references."""

_LEAST_ROUNDS = 3  # of the contest, however little time is left
_CONTEST = 0.4  # of the time, the most that is kept for the contest
_PATIENCE, _TIMES = 120.0, 20.0  # seconds that a piece may take: at least, and over the defaults
_FIRST_PATIENCE = 3600.0  # seconds of the very first piece


@dataclass(frozen=True, slots=True)
class Limits:
    """When a search ends.

    Attributes:
        trials: Candidates that are started, those of earlier sittings included.
        seconds: Of this sitting, the contest included; infinite for no limit.
        rounds: Of the contest.
    """

    trials: int
    seconds: float
    rounds: int


class Watcher(Protocol):
    """Is told how a search goes."""

    def stage(self, what: str, number: int, of: int) -> None:
        """Something begins, one of several."""
        ...

    def tried(self, found: Tried, number: int) -> None:
        """A trial has ended."""
        ...


@dataclass
class Search:
    """One search.

    Attributes:
        study: What has been tried; open.
        bench: Where engines run.
        references: What all is compared with; the defaults last.
        pieces: Of the workload.
        objective: What is wanted.
        why_not: Why a point cannot be measured; empty if it can.
        watcher: Is told how it goes.
        place: Where the defaults lie among the points that can be proposed; None if they do not.
    """

    study: Study
    bench: Bench
    references: Sequence[Candidate]
    pieces: Sequence[Sequence[Problem]]
    objective: Objective
    why_not: Callable[[Point], str]
    watcher: Watcher
    place: Point | None = None
    _ours: dict[int, Reading] = field(default_factory=dict)
    _begun: float = field(default_factory=time.monotonic)

    def run(self, limits: Limits) -> None:
        """Search until a limit is reached, then let the best compete.

        Args:
            limits: When to end.

        Raises:
            TrialFailed: The defaults themselves cannot be measured.
        """
        for reference in self.references:
            known = self.study.reference(reference.name)
            if known is None or not known.ratios:
                self.watcher.stage(f"measuring {reference.name}", 0, limits.trials)
                found = self._measured(reference, stops=False)
                at = self.place if reference.name == OURS else None
                self.study.keep_reference(found, at)
                self.watcher.tried(found, 0)
        while (number := self._started() + 1) <= limits.trials and self._time_for_one_more(limits):
            point = self.study.propose()
            if point is None:
                break
            self.watcher.stage("measuring a candidate", number, limits.trials)
            found = self._tried(Candidate(f"trial {len(self.study.tried) + 1}", point))
            self.study.keep(found)
            self._make_room()
            self.watcher.tried(found, number)
        self._compete(limits)

    def finalists(self) -> list[Tried]:
        """The best of what was measured to its end."""
        found = [each for each in self.study.tried if each.status == "measured"]
        return sorted(found, key=lambda one: -one.ratio)[:FINALISTS]

    def _started(self) -> int:
        return sum(each.status != "infeasible" for each in self.study.tried)

    def _tried(self, candidate: Candidate) -> Tried:
        if reason := self.why_not(candidate.point):
            return Tried(candidate.name, candidate.point, "infeasible", reason)
        return self._measured(candidate, stops=True)

    def _measured(self, candidate: Candidate, *, stops: bool) -> Tried:
        """Measure a candidate beside the defaults; `stops` if it may be given up."""
        started = time.monotonic()
        logs: list[float] = []
        readings: list[Reading] = []
        status: Status = "measured"
        for number in range(len(self.pieces)):
            try:
                reading, ours = self._pair(candidate, number)
            except TrialFailed as error:
                if candidate.name == OURS:
                    raise
                took = time.monotonic() - started
                failed: Status = "infeasible" if error.infeasible else "failed"
                return Tried(candidate.name, candidate.point, failed, str(error), seconds=took)
            readings.append(reading)
            logs.append(math.log(reading.worth(self.objective) / ours.worth(self.objective)))
            if stops and number + 1 < len(self.pieces) and self._is_behind(logs):
                status = "stopped"
                break
        took = time.monotonic() - started
        return self._summary(candidate, status, readings, logs, took)

    def _pair(self, candidate: Candidate, number: int) -> tuple[Reading, Reading]:
        """What a candidate and the defaults take for a piece, one right after the other."""
        ours, piece = self.references[-1], self.pieces[number]
        if candidate is ours:
            self._ours[number] = self.bench.measure(ours, piece, self._patience(number))
            return self._ours[number], self._ours[number]
        if not self.bench.fit([candidate, ours]):
            if not self._ours:
                for each, problems in enumerate(self.pieces):
                    self._ours[each] = self.bench.measure(ours, problems, self._patience(each))
            reading = self.bench.measure(candidate, piece, self._patience(number))
            return reading, self._ours[number]
        for one in (ours, candidate):  # so that no start comes between the two
            self.bench.ready(one, self._patience(number))
        turns = (ours, candidate) if number % 2 else (candidate, ours)
        found = {one.name: self.bench.measure(one, piece, self._patience(number)) for one in turns}
        self._ours[number] = found[ours.name]
        return found[candidate.name], found[ours.name]

    def _patience(self, number: int) -> float:
        """Seconds that a piece may take."""
        known = self._ours.get(number) or next(iter(self._ours.values()), None)
        return _FIRST_PATIENCE if known is None else max(_PATIENCE, _TIMES * known.seconds)

    def _is_behind(self, logs: Sequence[float]) -> bool:
        whole = [each for each in self.study.tried if each.status == "measured"]
        best = max([0.0, *(math.log(each.ratio) for each in whole)])  # the defaults are at 0
        known = [[math.log(value) for value in each.ratios] for each in self.study.tried]
        return is_behind(logs, best, spread([*known, logs]))

    def _summary(
        self,
        candidate: Candidate,
        status: Status,
        readings: Sequence[Reading],
        logs: Sequence[float],
        seconds: float,
    ) -> Tried:
        mine: dict[str, str | None] = {}
        theirs: dict[str, str | None] = {}
        for number, reading in enumerate(readings):
            mine.update(reading.answers)
            theirs.update(self._ours[number].answers)
        latencies = [value for reading in readings for value in reading.latencies]
        worths = [reading.worth(self.objective) for reading in readings]
        mean = math.exp(math.fsum(map(math.log, worths)) / len(worths))
        return Tried(
            name=candidate.name,
            point=candidate.point,
            status=status,
            ratios=tuple(map(math.exp, logs)),
            value=shown(mean, self.objective),
            throughput=sum(r.tokens for r in readings) / sum(r.seconds for r in readings),
            latencies=(percentile(latencies, 0.5), percentile(latencies, 0.95)),
            answers=len(mine.keys() & theirs.keys()),
            differing=differing(mine, theirs),
            seconds=seconds,
        )

    def _make_room(self) -> None:
        """End the engines of all that is not going to take part in the contest."""
        kept = {*(each.name for each in self.references), *(f.name for f in self.finalists())}
        for name in self.bench.names - kept:
            self.bench.drop(name)

    def _time_for_one_more(self, limits: Limits) -> bool:
        """Whether another trial and the contest are likely to end in time."""
        left = limits.seconds - (time.monotonic() - self._begun)
        took = [each.seconds for each in self.study.tried if each.status == "measured"]
        trial = max(took, default=0.0)
        return left > trial + self._contest_seconds(limits, trial)

    def _contest_seconds(self, limits: Limits, trial: float) -> float:
        """What the contest will take, roughly; `trial` is what a trial takes."""
        piece = max((reading.seconds for reading in self._ours.values()), default=0.0)
        contestants = FINALISTS + len(self.references)
        starts = max(0.0, trial - 2 * len(self.pieces) * piece)
        needed = contestants * (starts + 1.5 * limits.rounds * piece)
        return min(needed, _CONTEST * limits.seconds)

    def _compete(self, limits: Limits) -> None:
        """Have the best and the references measured in turns."""
        finalists = [Candidate(each.name, each.point) for each in self.finalists()]
        alive = [r for r in self.references if (t := self.study.reference(r.name)) and t.ratios]
        contestants = [*finalists, *alive]
        if len(contestants) < 2:
            return
        rounds = self.study.rounds
        if any(each.keys() != {one.name for one in contestants} for each in rounds):
            rounds = []  # others were the best then
        together = self.bench.fit(contestants)
        for number in range(len(rounds), limits.rounds):
            if number >= _LEAST_ROUNDS and time.monotonic() - self._begun > limits.seconds:
                break
            self.watcher.stage("contest, round", number + 1, limits.rounds)
            found: dict[str, float] = {}
            for name in order([one.name for one in contestants], number):
                (one,) = (each for each in contestants if each.name == name)
                try:
                    values = [self._worth(one, i) for i in self._turn(number, together=together)]
                except TrialFailed:
                    if name == OURS:
                        raise
                    contestants.remove(one)  # it takes its earlier rounds with it
                    continue
                found[name] = ratio(values, [1.0] * len(values))
            names = {one.name for one in contestants}
            rounds = [{n: w for n, w in each.items() if n in names} for each in (*rounds, found)]
            self.study.keep_rounds(rounds)

    def _turn(self, number: int, *, together: bool) -> Iterator[int]:
        """The pieces of a turn: one if all engines are up, all if each must be started for it."""
        if together:
            yield number // 2 % len(self.pieces)
        else:
            yield from range(len(self.pieces))

    def _worth(self, candidate: Candidate, number: int) -> float:
        patience = self._patience(number)
        return self.bench.measure(candidate, self.pieces[number], patience).worth(self.objective)
