"""Answers and roll-outs as data, and the file that keeps them: one line of JSON a problem.

A line is written in one go; what a kill leaves of one is cut off when the file is opened again.
How answers are drawn, and what they are worth, is for others.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tts.errors import ConfigError

FILE = "rollouts.jsonl"


@dataclass(frozen=True)
class Draw:
    """One answer to a problem, or a roll-out: another end of an answer.

    Attributes:
        tokens: token ids from the start of the answer, or from the branch point of a roll-out,
            without the end-of-text token.
        ended: whether the model ended the answer; if not, it was cut.
        right: whether the whole answer, prefix included, is right. One that was cut is not.
        parent: of a roll-out, the place of the answer it branches off in `Tree.draws`.
        at: of a roll-out, the tokens it shares with that answer, at most all of them.
    """

    tokens: tuple[int, ...]
    ended: bool
    right: bool
    parent: int | None = None
    at: int = 0


@dataclass(frozen=True)
class Tree:
    """All that was drawn for a problem.

    Attributes:
        problem: id of the problem.
        level: its level.
        prompt: token ids before the answer.
        draws: the answers first, then the roll-outs.
    """

    problem: str
    level: int
    prompt: tuple[int, ...]
    draws: tuple[Draw, ...]

    def answer(self, draw: Draw) -> tuple[int, ...]:
        """The token ids of a draw's whole answer."""
        if draw.parent is None:
            return draw.tokens
        return self.draws[draw.parent].tokens[: draw.at] + draw.tokens


class Store:
    """The file in a folder, open for appending.

    Args:
        folder: where; made if it is not there.
        made_with: all that decides what is drawn for a problem, of JSON types.

    Raises:
        ConfigError: what lies there was made with something else.
    """

    def __init__(self, folder: Path, made_with: Mapping[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / FILE).open("a+b")
        self._cut()
        lines = _lines(folder)
        header = next(lines, None)
        if header is None:
            self._write(made_with)
        elif header != made_with:
            self.close()
            raise ConfigError(
                f"The roll-outs in {folder} were made with {header}, not with {made_with}.",
                hint="Take another --out, or the same model and numbers as before.",
            )
        self.done = {line["problem"] for line in lines}

    def append(self, tree: Tree) -> None:
        """Keep what was drawn for a problem."""
        self._write(asdict(tree))
        self.done.add(tree.problem)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        self._file.flush()

    def _cut(self) -> None:
        """Cut off a line without an end."""
        self._file.seek(0)
        whole = sum(len(line) for line in self._file if line.endswith(b"\n"))
        self._file.truncate(whole)
        self._file.seek(0, os.SEEK_END)


def read(folder: Path) -> list[Tree]:
    """All that was kept, in the order of the problems' ids.

    Raises:
        ConfigError: there are no roll-outs.
    """
    if not (folder / FILE).exists():
        raise ConfigError(
            f"There are no roll-outs in {folder}.",
            hint="Draw some with python -m experiments.mini.rollouts.",
        )
    lines = _lines(folder)
    next(lines, None)
    return sorted(map(_tree, lines), key=lambda tree: tree.problem)


def _lines(folder: Path) -> Iterator[dict[str, Any]]:
    with (folder / FILE).open("rb") as file:
        yield from (json.loads(line) for line in file if line.endswith(b"\n"))


def _tree(line: Mapping[str, Any]) -> Tree:
    draws = tuple(Draw(**{**draw, "tokens": tuple(draw["tokens"])}) for draw in line["draws"])
    return Tree(line["problem"], line["level"], tuple(line["prompt"]), draws)
