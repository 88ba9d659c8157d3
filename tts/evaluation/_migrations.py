"""Results of earlier versions, brought to the present schema. One function a step.

A step turns a line of version v into a line of version v + 1 and, where version v kept them in the
record, the texts into a tree. Trees have steps of their own from version 2 on.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tts.evaluation._log import SCHEMA, header, lines

Row = dict[str, Any]


def upgrade(row: Row, schema: int) -> tuple[Row, Row | None]:
    """A record of some version as the present one, and its tree where the record held it.

    Args:
        row: The line, parsed.
        schema: Its version, 1 to `SCHEMA`.
    """
    tree: Row | None = None
    for version in range(schema, SCHEMA):
        row, found = _STEPS[version](row)
        tree = found or (tree and _renamed(tree))
    return row, tree


def migrate(results: Path, trees: Path, schema: int) -> None:
    """Rewrite a file of results in the present schema, its trees beside it.

    A kill leaves the old files or the new ones; the trees are in place first.
    """
    parts = [path.with_name(path.name + ".part") for path in (results, trees)]
    with parts[0].open("wb") as new_results, parts[1].open("wb") as new_trees:
        new_results.write(header("results"))
        new_trees.write(header("trees"))
        for line in lines(results):
            record, tree = upgrade(json.loads(line.data), schema)
            new_results.write(json.dumps(record).encode() + b"\n")
            if tree is not None:
                new_trees.write(json.dumps(tree).encode() + b"\n")
        if schema > 1 and trees.exists():
            for line in lines(trees):
                new_trees.write(json.dumps(_renamed(json.loads(line.data))).encode() + b"\n")
    parts[1].replace(trees)
    parts[0].replace(results)


def _from_1(row: Row) -> tuple[Row, Row | None]:
    """Texts move from the candidates of the record to a tree of their own."""
    nodes = []
    for candidate in row.get("candidates", ()):
        kept = ("text", "finish", "clock", "score")
        nodes.append({name: candidate[name] for name in kept if candidate.get(name) is not None})
        candidate.pop("text")
    about = {name: row.pop(name) for name in ("configuration", "problem_id")}
    about["repeat"] = row.pop("repeat", 0)
    tree = {**about, "nodes": nodes, "candidates": list(range(len(nodes)))}
    return {**about, **row}, tree


def _from_2(row: Row) -> tuple[Row, Row | None]:
    """The name of a problem is its `id`."""
    return _renamed(row), None


def _renamed(row: Row) -> Row:
    """With `id` in the place of `problem_id`."""
    return {"id" if name == "problem_id" else name: value for name, value in row.items()}


_STEPS: dict[int, Callable[[Row], tuple[Row, Row | None]]] = {1: _from_1, 2: _from_2}
