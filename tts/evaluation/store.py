"""The folder of a run: append-only files of results and trees that survive a kill at any byte.

`results.jsonl` has one line a solved problem, `trees.jsonl` what was written on the way. A record
is filed under its configuration, problem and repeat. A problem may have several lines (it failed,
and was taken up again): the last one counts. The tree is written before the record, so that every
record has its tree; a tree without a record is what a kill left, and nobody asks for it.

A folder holds one run. Opening it again with the same configuration continues an unfinished run;
whatever else is found there (a finished run, another configuration) is moved to `earlier/1`,
`earlier/2`, ... inside the folder, so that results are neither mixed nor lost; or, where the folder
is to be one thing for ever, it is refused. Files of an earlier version are brought to the present
schema when they are opened.

A line that was written survives the end of its process, however it comes. A power cut may take what
was written since the last `sync`.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from tts._garbage import uncollected
from tts.errors import ConfigError
from tts.evaluation._brief import brief
from tts.evaluation._log import SCHEMA, Line, Log, lines, schema_of
from tts.evaluation._migrations import migrate, upgrade
from tts.evaluation.records import Key, Outcome, Record
from tts.evaluation.trees import TreeRecord
from tts.types import Usage

RESULTS, TREES, SUMMARY = "results.jsonl", "trees.jsonl", "summary.json"
TABLE, PICTURE, PAGE = "summary.md", "accuracy_vs_compute.png", "trees.html"
CONFIG, PROVENANCE, CLAIMS = "config.yaml", "provenance.json", "claims.json"
CHAINS, CHAINS_PICTURE = "analysis.md", "analysis.png"
IMPORTANCE, IMPORTANCE_PICTURE = "importance.md", "importance.png"
VERIFIER, VERIFIER_PICTURE = "verifier_report.md", "verifier_report.png"
FILES = (
    *(SUMMARY, TABLE, CLAIMS, PICTURE, PAGE, CHAINS, CHAINS_PICTURE),
    *(IMPORTANCE, IMPORTANCE_PICTURE, VERIFIER, VERIFIER_PICTURE),
    *(CONFIG, PROVENANCE, TREES, RESULTS),
)
"""All that is there of a run; the results last, so that a folder half moved is still recognised."""

_TEXT = rb'"(?:[^"\\]|\\.)*"'
_KEY = re.compile(
    rb'\{"configuration": ?(%s), ?"(?:problem_)?id": ?(%s), ?"repeat": ?(\d+),' % (_TEXT, _TEXT)
)


@dataclass(frozen=True, slots=True)
class Expected:
    """What an arm of a run consists of.

    Attributes:
        configuration: Hash of all that decides the outcome.
        problems: Ids of its problems.
        repeats: How often each is solved, at least 1.
    """

    configuration: str
    problems: frozenset[str]
    repeats: int = 1

    def __contains__(self, key: Key) -> bool:
        """Whether a record belongs to this arm, however often its problems are solved."""
        return key.configuration == self.configuration and key.problem_id in self.problems

    def __len__(self) -> int:
        return len(self.problems) * self.repeats


@dataclass(frozen=True, slots=True)
class _Entry:
    """A record in the index: what statistics need, and where the rest is."""

    outcome: Outcome
    offset: int


class Store:
    """The results of one run, in one folder.

    Use it as a block: entering repairs and locks the files, leaving flushes them to the disk.

    Args:
        folder: Of the run; made if it is not there.
        arms: What the run consists of, by the label of the arm.
        lasting: Whether the folder is for this configuration alone: a finished run in it goes on,
            should there be more to do, and another configuration is refused.

    Attributes:
        moved: Where an earlier run was moved, if one was in the way.
        continued: Number of problems that were already done, over all arms.
    """

    def __init__(
        self, folder: Path, arms: Mapping[str, Expected], *, lasting: bool = False
    ) -> None:
        self.folder = folder
        self._lasting = lasting
        self.moved: Path | None = None
        self.continued = 0
        self._arms = arms
        self._index: dict[Key, _Entry] = {}
        self._spent: dict[str, Usage] = {}

    def __enter__(self) -> Self:
        """Open, lock and repair the files.

        Raises:
            ConfigError: They cannot be written to, another process writes to them, a line cannot
                be understood, or another configuration's results are in the way and must stay.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._open()
        except OSError as error:
            raise ConfigError(
                f"The folder {self.folder} cannot be written to: {error.strerror}.",
                hint="Choose another folder (hydra.run.dir=... of a run).",
            ) from error
        if self._lasting:
            self._refuse_others()
        elif self._foreign() or self._finished() or self._bare():
            self.moved = self._move_aside()
            self._close()
            self._open()
        self.continued = sum(len(self.done(label)) for label in self._arms)
        # A summary is the sign of a finished run, which this one is not any more.
        (self.folder / SUMMARY).unlink(missing_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Flush to the disk and unlock."""
        self._close()

    def append(self, record: Record, tree: TreeRecord | None = None) -> Outcome:
        """Write a record, and its tree before it; return what the statistics need of it.

        Raises:
            OSError: The disk is full, say; nothing of the record is left then.
        """
        if tree is not None:
            self._trees.append(tree.line())
        offset = self._results.append(record.line())
        outcome = record.outcome
        self._index[record.file_key] = _Entry(outcome, offset)
        self._spent[record.configuration] = self._paid(record.configuration) + outcome.usage
        return outcome

    def configuration(self, arm: str) -> str:
        """Hash of all that decides the outcome of an arm."""
        return self._arms[arm].configuration

    def outcomes(self, arm: str) -> list[Outcome]:
        """What came of each problem and repeat of an arm, failed ones included."""
        expected = self._arms[arm]
        wanted, problems, repeats = expected.configuration, expected.problems, expected.repeats
        return [
            entry.outcome
            for (configuration, problem_id, repeat), entry in self._index.items()
            if configuration == wanted and repeat < repeats and problem_id in problems
        ]

    def done(self, arm: str) -> set[tuple[str, int]]:
        """Problem and repeat of all of an arm that need not be run again: what did not fail."""
        return {(o.problem_id, o.repeat) for o in self.outcomes(arm) if not o.failed}

    def sync(self) -> None:
        """Wait until all that was written would survive a power cut; may be called in a thread.

        Raises:
            OSError: The disk has failed.
        """
        self._trees.sync()
        self._results.sync()

    @property
    def size(self) -> int:
        """Bytes of records and trees."""
        return self._results.size + self._trees.size

    def spent(self, arm: str) -> Usage:
        """What all records of an arm have cost, those of failed attempts at a problem included.

        Its seconds are the wall clock of the arm. What was in flight at a kill is not known.
        """
        configuration = self._arms[arm].configuration
        seconds = max((o.elapsed for o in self.outcomes(arm)), default=0.0)
        return replace(self._paid(configuration), seconds=seconds)

    def record(self, arm: str, problem_id: str, repeat: int = 0) -> Record:
        """One record, read from the disk.

        Raises:
            KeyError: There is none.
        """
        entry = self._index[Key(self._arms[arm].configuration, problem_id, repeat)]
        return Record.model_validate_json(self._results.line(entry.offset))

    def _open(self) -> None:
        path, trees = self.folder / RESULTS, self.folder / TREES
        modernise(self.folder)
        self._results = Log(path, "results")
        try:
            self._trees = Log(trees, "trees")
            self._index, self._spent = {}, {}
            with uncollected():
                self._read(path)
        except BaseException:
            self._results.close()
            raise

    def _read(self, path: Path) -> None:
        usages: defaultdict[str, list[Usage]] = defaultdict(list)
        for line in lines(path):
            try:
                key, outcome = brief(line.data)
            except ValueError as error:
                raise _no_record(line, path) from error
            self._index[key] = _Entry(outcome, line.offset)
            usages[key.configuration].append(outcome.usage)
        self._spent = {name: Usage.total(each) for name, each in usages.items()}

    def _paid(self, configuration: str) -> Usage:
        return self._spent.get(configuration) or Usage()

    def _close(self) -> None:
        self._results.close()
        self._trees.close()

    def _foreign(self) -> bool:
        """Whether a record belongs to another run than this one."""
        return any(all(key not in arm for arm in self._arms.values()) for key in self._index)

    def _refuse_others(self) -> None:
        configurations = {arm.configuration for arm in self._arms.values()}
        found = next((key for key in self._index if key.configuration not in configurations), None)
        if found is None and not self._bare():
            return
        self._close()
        raise ConfigError(
            f"{self.folder} holds results of another configuration.",
            hint="Choose another folder, or go on with the settings in its config.yaml.",
        )

    def _finished(self) -> bool:
        return (self.folder / SUMMARY).exists() and all(
            len(self.done(label)) == len(arm) for label, arm in self._arms.items()
        )

    def _bare(self) -> bool:
        """Whether there is a summary without results: that of a sweep."""
        return (self.folder / SUMMARY).exists() and not self._index

    def _move_aside(self) -> Path:
        places = (self.folder / "earlier" / str(n) for n in itertools.count(1))
        place = next(p for p in places if not p.exists())
        place.mkdir(parents=True)
        for name in FILES:
            if (self.folder / name).exists():
                (self.folder / name).rename(place / name)
        return place


def modernise(folder: Path) -> None:
    """Bring the files of a folder to the present schema, if they are of an earlier one.

    Raises:
        ConfigError: Another process writes to them, or a line cannot be understood.
        OSError: They cannot be written to.
    """
    path = folder / RESULTS
    if not path.exists() or schema_of(path, "results") == SCHEMA:
        return
    log = Log(path, "results")
    try:
        if log.schema < SCHEMA:
            for _ in read(path):
                pass  # every line must be understood before any is rewritten
            migrate(path, folder / TREES, log.schema)
    finally:
        log.close()


def read(path: Path) -> Iterator[Record]:
    """The records of a file, in the order in which they were written; a torn last line is left out.

    A file of an earlier version is read as it is, and brought to the present schema on the way.

    Raises:
        ConfigError: A complete line is no record.
    """
    schema = schema_of(path, "results")
    for line in lines(path):
        yield _parsed(line, path, schema)


class Trees:
    """The trees of a run, found by key; read one at a time.

    Args:
        folder: Of the run.

    Raises:
        ConfigError: There are none.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / TREES
        if not self._path.exists():
            raise ConfigError(
                f"{folder} holds no {TREES}: the run kept no texts.",
                hint="Run it with keep=texts.",
            )
        schema_of(self._path, "trees")
        found = ((_key(line.data), line.offset) for line in lines(self._path))
        self._offsets = {key: offset for key, offset in found if key}

    def __contains__(self, key: Key) -> bool:
        return key in self._offsets

    def __getitem__(self, key: Key) -> TreeRecord:
        """The last tree under a key.

        Raises:
            KeyError: There is none.
        """
        with self._path.open("rb") as file:
            file.seek(self._offsets[key])
            return TreeRecord.model_validate_json(file.readline())


def _key(line: bytes) -> Key | None:
    """The key of a tree, without reading the rest of it."""
    match = _KEY.match(line)
    if match is None:
        return None
    return Key(json.loads(match[1]), json.loads(match[2]), int(match[3]))


def _parsed(line: Line, path: Path, schema: int) -> Record:
    try:
        if schema == SCHEMA:
            return Record.model_validate_json(line.data)
        return Record.model_validate(upgrade(json.loads(line.data), schema)[0])
    except (ValueError, KeyError, AttributeError) as error:
        raise _no_record(line, path) from error


def _no_record(line: Line, path: Path) -> ConfigError:
    return ConfigError(
        f"Line {line.number} of {path} is no record of this version of tts.",
        hint="Choose another folder (hydra.run.dir=... of a run).",
    )


def write_atomically(path: Path, text: str) -> None:
    """Write a small file so that a kill leaves the old one or the new one, never half of it."""
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
