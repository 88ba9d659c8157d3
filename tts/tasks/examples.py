"""Worked examples before a question: written out, or taken from a data set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

from tts.errors import ConfigError
from tts.tasks._templates import compiled, render
from tts.tasks.fields import Fields, Reading
from tts.tasks.sources import Row, Source

if TYPE_CHECKING:
    import jinja2


@dataclass(frozen=True, slots=True)
class Shot:
    """One example.

    Attributes:
        row: What the prompt's template may see.
        answer: What the model is shown to have answered.
    """

    row: Mapping[str, Any]
    answer: str


@dataclass(frozen=True)
class Examples:
    """Which examples come before each question; by default none.

    Attributes:
        pairs: Examples written out, each with `question` and `answer`, and whatever else the
            prompt's template asks for.
        count: How many rows to take from the start of a data set, at least 0.
        path: Which one; empty for the task's own.
        source: How to read it, another split say; None for the task's own way.
        answer: Jinja2 template of what is shown as answered; sees the fields of the row, `answer`
            (the whole field: a worked solution, where there is one) and `gold` (the answer alone).
        separator: Text behind each example where the prompt is no conversation.
    """

    pairs: Sequence[Mapping[str, Any]] = ()
    count: int = 0
    path: str = ""
    source: Source | None = None
    answer: str = "{{ answer }}"
    separator: str = "\n\n"

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ConfigError(f"prompt.examples.count is {self.count}; it must be at least 0.")

    def shots(self, path: str, source: Source, fields: Fields) -> tuple[Shot, ...]:
        """The examples, read.

        Args:
            path: Of the task.
            source: Of the task.
            fields: Where in its rows things are.

        Raises:
            ConfigError: An example cannot be read, or there are fewer than `count`.
        """
        pairs = (
            Row(n, f"prompt.examples.pairs, number {n + 1}", pair)
            for n, pair in enumerate(self.pairs)
        )
        written = [self._shot(reading) for reading in _readings(pairs, Fields())]
        return (*written, *self._taken(path, source, fields))

    def _taken(self, path: str, source: Source, fields: Fields) -> Iterator[Shot]:
        if not self.count:
            return
        rows = list(islice((self.source or source).rows(self.path or path), self.count))
        if len(rows) < self.count:
            raise ConfigError(
                f"prompt.examples.count is {self.count}, but {self.path or path} has {len(rows)}"
                " rows."
            )
        yield from map(self._shot, _readings(rows, fields))

    def _shot(self, reading: Reading) -> Shot:
        if reading.messages:
            raise ConfigError(
                "An example cannot be a conversation.",
                hint="Write prompt.examples.pairs with a question and an answer.",
            )
        known = {**reading.visible, "answer": reading.solution, "gold": reading.golds[0]}
        return Shot(reading.visible, render(self._compiled, known, "prompt.examples.answer"))

    @cached_property
    def _compiled(self) -> jinja2.Template:
        return compiled(self.answer, "prompt.examples.answer")


def _readings(rows: Iterable[Row], fields: Fields) -> Iterator[Reading]:
    for row in rows:
        yield fields.read(row, "example")
