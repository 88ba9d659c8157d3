"""What a run has left, read once: small outcomes by arm, faults, and the scores of its answers.

Records are streamed. Of each stays what statistics need; texts stay on the disk. Nothing is
written, and files of an earlier schema are read as they are.
"""

from __future__ import annotations

import hashlib
import json
import re
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from pydantic import ValidationError

from tts.evaluation.records import CandidateRecord, Key, Outcome, Record
from tts.evaluation.store import CLAIMS, PROVENANCE, RESULTS, SUMMARY, read
from tts.evaluation.summary import Names
from tts.reporting.sources import Source

DRAWN = ("self_consistency", "best_of_n", "weighted_best_of_n")
"""Strategies whose answers are independent draws, so that their scores are a fair sample."""

_ID = re.compile(rb'"(?:problem_)?id": ?("(?:[^"\\]|\\.)*")')
_SETTING = re.compile(r"( [\w.]+=\S+)+$")  # of an arm that is one of a series: 'votes n=4'


@dataclass(frozen=True, slots=True)
class Fault:
    """A problem that failed, and why."""

    problem_id: str
    repeat: int
    error: str


@dataclass(slots=True)
class Scores:
    """Scores of independent answers, packed: thirteen bytes an answer.

    Attributes:
        owner: Of each answer the place of its problem.
        raws: As the verifier gave them.
        right: 1 or 0.
        places: By problem, in the order in which they ended.
        silent: Samples without an answer.
        scales: What the scores are.
    """

    owner: array[int] = field(default_factory=lambda: array("i"))
    raws: array[float] = field(default_factory=lambda: array("d"))
    right: array[int] = field(default_factory=lambda: array("b"))
    places: dict[str, int] = field(default_factory=dict)
    silent: int = 0
    scales: set[str] = field(default_factory=set)

    def take(self, problem: str, candidates: tuple[CandidateRecord, ...]) -> None:
        """Add the answers of a problem, if it is known of each what it is worth."""
        if any(c.score is None or c.correct is None for c in candidates):
            return
        told = [c for c in candidates if c.key is not None]
        self.silent += len(candidates) - len(told)
        place = self.places.setdefault(problem, len(self.places)) if told else -1
        for c in told:
            assert c.score is not None
            self.owner.append(place)
            self.raws.append(c.score.raw)
            self.right.append(bool(c.correct))
            self.scales.add(c.score.scale)


@dataclass(slots=True)
class ArmRead:
    """One arm of a run.

    Attributes:
        label: In its own run.
        names: What it is made of.
        configuration: Hash of all that decides the outcome.
        outcomes: By problem and repeat; the last one counts.
        answers: By the same, a number that stands for the answer; equal texts have equal numbers.
        faults: Those that failed and were not taken up again.
        scores: Of its answers; empty unless they were drawn independently.
    """

    label: str
    names: Names
    configuration: str
    outcomes: dict[tuple[str, int], Outcome] = field(default_factory=dict)
    answers: dict[tuple[str, int], int] = field(default_factory=dict)
    faults: dict[tuple[str, int], Fault] = field(default_factory=dict)
    scores: Scores = field(default_factory=Scores)

    def take(self, record: Record) -> None:
        """Add a record."""
        place = (record.problem_id, record.repeat)
        self.outcomes[place] = record.outcome
        self.answers[place] = _number(record.answer)
        self.faults.pop(place, None)
        if record.failed:
            self.faults[place] = Fault(*place, record.error)
        elif self.names.strategy_name in DRAWN and record.candidates:
            self.scores.take(record.problem_id, record.candidates)


@dataclass(frozen=True)
class Run:
    """What a folder holds.

    Attributes:
        source: The folder.
        arms: Those of which a problem has ended, in the order of the run.
        waiting: Labels of those of which none has.
        finished: Whether the run has ended and written its summary.
        golds: By problem, the right answer; None where nobody knows it.
        asked: By problem, hash of what was asked, where the run tells it.
        provenance: As written; empty if there is none.
        claims: Rows of `claims.json`.
    """

    source: Source
    arms: tuple[ArmRead, ...]
    waiting: tuple[str, ...]
    finished: bool
    golds: Mapping[str, str | None]
    asked: Mapping[str, str]
    provenance: Mapping[str, Any]
    claims: tuple[Mapping[str, Any], ...]


def read_run(source: Source) -> Run:
    """Read a folder.

    Raises:
        ConfigError: A line of its results is no record.
    """
    origin = _json(source.folder / PROVENANCE)
    provenance = origin if isinstance(origin, dict) else {}
    known = {str(entry["configuration"]): entry for entry in _entries(source)}
    labels = {str(c): str(label) for label, c in dict(provenance.get("arms") or {}).items()}
    arms: dict[str, ArmRead] = {}
    golds: dict[str, str | None] = {}
    asked: dict[str, str] = {}
    for record in read(source.results):
        arm = arms.get(record.configuration)
        if arm is None:
            label = labels.get(record.configuration, record.arm)
            entry = known.get(record.configuration, {})
            label = str(entry.get("strategy", label))
            names = _told(entry) or _guess(label, provenance, record.seed)
            arm = arms[record.configuration] = ArmRead(label, names, record.configuration)
        arm.take(record)
        golds[record.problem_id] = record.gold
        if record.asked:
            asked[record.problem_id] = record.asked
    order = {configuration: place for place, configuration in enumerate(labels)}
    listed = sorted(arms.values(), key=lambda arm: order.get(arm.configuration, len(order)))
    return Run(
        source=source,
        arms=tuple(listed),
        waiting=tuple(label for c, label in labels.items() if c not in arms),
        finished=(source.folder / SUMMARY).is_file(),
        golds=golds,
        asked=asked,
        provenance=provenance,
        claims=tuple(each for each in _list(source.folder, CLAIMS) if isinstance(each, dict)),
    )


def records_of(source: Source, problems: frozenset[str]) -> Iterator[Record]:
    """The records of some problems, the last one under each key; others are not even parsed.

    Raises:
        ConfigError: A line is no record.
    """
    with NamedTemporaryFile(suffix=".jsonl") as kept, source.results.open("rb") as file:
        kept.write(file.readline())
        for line in file:
            found = _ID.search(line)
            if found and line.endswith(b"\n") and json.loads(found[1]) in problems:
                kept.write(line)
        kept.flush()
        last: dict[Key, Record] = {
            record.file_key: record
            for record in read(Path(kept.name))
            if record.problem_id in problems
        }
    yield from last.values()


def _entries(source: Source) -> list[Mapping[str, Any]]:
    """Rows of the summary; of a job of a sweep those of the sweep, whose labels say more."""
    rows = _list(source.folder, SUMMARY)
    if not (source.folder.parent / RESULTS).exists():
        rows += _list(source.folder.parent, SUMMARY)
    return [row for row in rows if isinstance(row, dict) and "configuration" in row]


def _told(entry: Mapping[str, Any]) -> Names | None:
    """The names in a row of a summary, whatever version has written the rest of it."""
    try:
        return Names.model_validate({k: v for k, v in entry.items() if k in Names.model_fields})
    except ValidationError:
        return None


def _guess(label: str, provenance: Mapping[str, Any], seed: int) -> Names:
    """What an arm is made of, as far as the provenance of an unfinished run tells."""
    config = provenance.get("config") or {}
    backend = str(_at(config, "backend", "_target_")).split(".")
    series = _SETTING.sub("", label)
    return Names(
        strategy_name=series,
        task=_at(config, "task", "name") or "unknown task",
        model=_at(config, "model", "name") or _at(config, "backend", "model") or "unknown model",
        backend=backend[-2] if len(backend) > 1 else "unknown",
        seed=seed,
        series=series,
    )


def _at(config: Mapping[str, Any], group: str, name: str) -> str:
    node = config.get(group)
    return str(node.get(name) or "") if isinstance(node, dict) else ""


def _list(folder: Path, name: str) -> list[Any]:
    found = _json(folder / name)
    return found if isinstance(found, list) else []


def _json(path: Path) -> Any:
    """What a small file says; None if it is not there, or no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _number(answer: str | None) -> int:
    """Stands for an answer in eight bytes."""
    if answer is None:
        return -1
    data = answer.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=7).digest())
