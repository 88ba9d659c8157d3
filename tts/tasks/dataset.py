"""Any data set with named fields as a task; GSM8K and the like are configurations of it."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field
from itertools import islice
from pathlib import Path

from tts.errors import ConfigError
from tts.sandbox import Limits
from tts.seeds import derive
from tts.tasks.answers import MathAnswers
from tts.tasks.examples import Shot
from tts.tasks.fields import Fields
from tts.tasks.programs import ProgramAnswers, ProgramTests
from tts.tasks.prompt import Prompt
from tts.tasks.sources import JsonLines, Row, Source
from tts.tasks.task import Answers, Grader, Item, ItemTask


@dataclass(eq=False)
class DatasetTask(ItemTask):
    """The problems of a data set: rows from a source, read by fields, asked by a prompt.

    Attributes:
        path: What the source reads: a file, a data set on a hub, a generator.
        source: How it is read.
        name: What results are filed under, and the start of numbered ids; by default the last part
            of `path` without its ending.
        fields: Where in a row things are.
        prompt: How a question becomes a problem.
        answers: How answers are written.
        grader: Says what is right; None for what `answers` calls equal to the gold answer.
        n_problems: How many problems to take, at least 1; None takes all from `offset` on.
        offset: How many to leave out first, at least 0.
        shuffle_seed: Mixes the rows before any are left out or taken; None keeps their order. Ids
            do not depend on it.
        max_tokens: Tokens that a whole answer may take, at least 1.

    Raises:
        ConfigError: The data set, a row of it, or an argument cannot be used.
    """

    path: str | Path
    _: KW_ONLY
    source: Source = field(default_factory=JsonLines)
    name: str = ""
    fields: Fields = field(default_factory=Fields)
    prompt: Prompt = field(default_factory=Prompt)
    answers: Answers = field(default_factory=MathAnswers)
    grader: Grader | None = None  # type: ignore[assignment]  # chosen by the base class
    n_problems: int | None = None
    offset: int = 0
    shuffle_seed: int | None = None
    max_tokens: int = 1024

    def __post_init__(self) -> None:
        name = self.name or Path(self.path).stem
        super().__init__(
            name,
            self._items(name),
            answers=self.answers,
            grader=self.grader,
            max_tokens=self.max_tokens,
        )

    def _items(self, name: str) -> Iterator[Item]:
        path = str(self.path)
        rows = self._chosen(path, name)
        shots = self.prompt.examples.shots(path, self.source, self.fields)
        rows_of: dict[str, Row] = {}
        for row in rows:
            item = self._item(row, name, shots)
            first = rows_of.setdefault(item.problem.id, row)
            if first is not row:
                raise ConfigError(
                    f"{row.where}: the id {item.problem.id!r} is that of"
                    f" {first.where.rpartition(', ')[2]} too.",
                    hint="Set fields.id to a field that is unique, or to null to number the rows.",
                )
            yield item

    def _item(self, row: Row, name: str, shots: Sequence[Shot]) -> Item:
        reading = self.fields.read(row, name)
        if any(shot.row == reading.visible for shot in shots):
            raise ConfigError(
                f"{row.where} is among the examples, which show its answer.",
                hint="Set task.offset to leave them out, or take them from another split.",
            )
        try:
            problem = self.prompt.problem(
                reading.id,
                reading.visible,
                reading.metadata,
                messages=reading.messages,
                shots=shots,
            )
        except ConfigError as error:
            raise ConfigError(f"{row.where}: {error.message}", hint=error.hint) from error
        gold, *accepted = reading.golds
        return Item(problem, gold, tuple(accepted), reading.reference)

    def _chosen(self, path: str, name: str) -> list[Row]:
        """The rows that are asked for; no more are read than that takes."""
        count = self.n_problems
        if count is not None and count < 1:
            raise ConfigError(f"n_problems is {count}; it must be at least 1, or null for all.")
        if self.offset < 0:
            raise ConfigError(f"offset is {self.offset}; it must be at least 0.")
        rows: Iterable[Row] = self.source.rows(path)
        if self.shuffle_seed is not None:
            rows = list(rows)
            random.Random(derive(self.shuffle_seed, name, "shuffle")).shuffle(rows)
        taken = list(islice(rows, None if count is None else self.offset + count))
        if not taken:
            raise ConfigError(f"{path} holds no problems.")
        there = len(taken) - self.offset
        if there < (count or 1):
            behind = f" from number {self.offset} on" if self.offset else ""
            raise ConfigError(
                f"n_problems is {count or 'null'}, but {path} has {max(there, 0)} problems"
                f"{behind}.",
                hint="Take fewer, or null for all." if there > 0 else "Choose a smaller offset.",
            )
        return taken[self.offset :]


@dataclass(eq=False)
class CodeTask(DatasetTask):
    """A data set whose answers are programs, which grading runs against tests.

    The rows' `test`, and `prompt` and `entry_point` where there are such fields, go to the grader
    through `fields.reference`; see `tts.tasks.ProgramTests`.

    Attributes:
        allow_code_execution: Must be true: what a model wrote is run on this machine.
        limits: What a program may use.

    Raises:
        ConfigError: Running code was not allowed, or rows have no tests.
    """

    answers: Answers = field(default_factory=ProgramAnswers)
    grader: Grader | None = field(default=None, init=False)
    allow_code_execution: bool = False
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        self.grader = ProgramTests(self.limits, allow_code_execution=self.allow_code_execution)
        if "test" not in self.fields.reference:
            raise ConfigError(
                "fields.reference does not name 'test', the field of the tests.",
                hint="Set task.fields.reference=[prompt,test,entry_point].",
            )
        super().__post_init__()
