"""A simulated machine on which candidates are measured: how fast, and what goes wrong."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from tts.tuning.engine.bench import Bench
from tts.tuning.engine.candidates import OURS, VLLM, Candidate
from tts.tuning.engine.knobs import Knob
from tts.tuning.engine.readings import Reading, name_of, pieces
from tts.tuning.engine.search import Limits, Search
from tts.tuning.engine.trial import TrialFailed
from tts.types import Problem

KNOBS = (Knob("threads", (1, 2, 4)), Knob("block_size", (32, 64)))
REFERENCES = (Candidate(VLLM, {"block_size": 128}), Candidate(OURS, {}))
PROBLEMS = [Problem(f"p{n}", prompt="?") for n in range(4)]


def speed(point):
    """The defaults run at 100 tokens a second, vLLM's at 80, the best point at 150."""
    if point.get("block_size") == 128:
        return 80.0
    return 100.0 * {1: 0.5, 2: 1.0, 4: 1.5, None: 1.0}[point.get("threads")]


@dataclass
class Machine:
    """Where candidates run.

    Attributes:
        speed: Of a point, in tokens a second.
        noise: Standard deviation of the logarithm of a time.
        drift: What the machine is slower by, at each measurement in turn; none by default.
        dies: Names of candidates that die when they are measured.
        refuses: Names of candidates that do not start.
        log: Who was started, measured and ended, in turn.
    """

    speed: object = speed
    noise: float = 0.0
    drift: object = None
    dies: frozenset = frozenset()
    refuses: frozenset = frozenset()
    log: list = field(default_factory=list)

    def __post_init__(self):
        self._rng = random.Random(0)
        self.measured = 0

    def start(self, candidate):
        self.log.append(("start", candidate.name))
        if candidate.name in self.refuses:
            raise TrialFailed("It did not come up.")
        return _Trial(self, candidate)

    def read(self, candidate, problems):
        self.log.append(("measure", candidate.name))
        self.measured += 1
        if candidate.name in self.dies:
            raise TrialFailed("Its process was killed, as when memory runs out.")
        slow = self.drift(self.measured) if self.drift else 1.0
        tokens = 100 * len(problems)
        seconds = slow * tokens / self.speed(candidate.point)
        seconds *= self._rng.lognormvariate(0, self.noise) if self.noise else 1.0
        answers = {name_of(p.id, p.repeat): "1" for p in problems}
        return Reading(seconds, tokens, (seconds,) * len(problems), answers)

    def count(self, what, name):
        return self.log.count((what, name))


class _Trial:
    def __init__(self, machine, candidate):
        self._machine, self._candidate = machine, candidate

    def measure(self, problems, patience):
        return self._machine.read(self._candidate, problems)

    def end(self):
        self._machine.log.append(("end", self._candidate.name))


class Notes:
    """What a search has said."""

    def __init__(self):
        self.stages, self.found = [], []

    def stage(self, what, number, of):
        self.stages.append((what, number, of))

    def tried(self, found, number):
        self.found.append(found)


def search(study, machine, *, room=10.0, objective="throughput", trials=6, rounds=4, n=4, **more):
    """Run a search on a simulated machine; each engine takes a GiB."""
    warm_up, *rest = pieces(PROBLEMS, 2, n)
    watcher = more.pop("watcher", Notes())
    why_not = more.pop("why_not", lambda point: "")
    seconds = more.pop("seconds", float("inf"))
    with Bench(machine.start, lambda candidate: 1.0, room, warm_up) as bench:
        found = Search(study, bench, REFERENCES, rest, objective, why_not, watcher, **more)
        found.run(Limits(trials, seconds, rounds))
    return watcher
