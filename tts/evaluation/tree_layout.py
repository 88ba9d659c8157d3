"""Where the nodes of a tree stand in its picture. Knows numbers only: no colours, no texts.

The tree grows from left to right, a column a depth. A parent stands half-way between its first and
its last child, and subtrees are pushed together until they touch in some column, so that the many
dead ends of a search leave no gaps. Two nodes of the same column are at least a row apart.
Source: Reingold & Tilford 1981, "Tidier Drawings of Trees".
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

import networkx as nx

from tts.evaluation.tree_graph import ROOT

WIDTH, HEIGHT = 176, 22
"""Of a node, in pixels."""
COLUMN, ROW = 236, 30
"""From one node to the next, in pixels."""
MARGIN, ASIDE = 12, 150
"""Around the tree, and right of it for what stands beside a leaf, in pixels."""
_HALF = HEIGHT // 2


@dataclass(frozen=True, slots=True)
class Place:
    """The upper left corner of a node, in pixels from that of the picture."""

    x: float
    y: float


def places(graph: nx.DiGraph[int], noted: Container[int] = ()) -> dict[int, Place]:
    """Where each node stands, the root included.

    Args:
        graph: A tree, as `tts.evaluation.tree_graph` makes it.
        noted: Leaves that have something written beside them.
    """
    rows = _rows(graph, noted)
    columns = {node: at["depth"] for node, at in graph.nodes.items()}
    return {
        node: Place(MARGIN + COLUMN * column, MARGIN + ROW * rows[node])
        for node, column in columns.items()
    }


def size(found: Mapping[int, Place]) -> tuple[float, float]:
    """Width and height of a picture in which all of them have room, in pixels."""
    right = max(place.x for place in found.values())
    bottom = max(place.y for place in found.values())
    return right + WIDTH + ASIDE + MARGIN, bottom + HEIGHT + MARGIN


def edge(parent: Place, child: Place) -> str:
    """A curve from the right side of a parent to the left side of its child, as an SVG path."""
    x, y = parent.x + WIDTH, parent.y + HEIGHT / 2
    to_x, to_y = child.x, child.y + HEIGHT / 2
    middle = (x + to_x) / 2
    return f"M{x:g} {y:g}C{middle:g} {y:g} {middle:g} {to_y:g} {to_x:g} {to_y:g}"


def outline(origin: str, finish: str | None, width: int = WIDTH) -> str:
    """The shape of a node around its place, as an SVG path.

    Its left side says who wrote it: straight for the model, pointed for a strategy or a budget
    (injected, forced). Its right side says how it ended: round for a stop, straight for a step,
    torn for a length, notched for an abort.
    """
    left = "Z" if origin == "model" else f"L-8 {_HALF}Z"
    return f"M0 0{_right(finish, width)}L0 {HEIGHT}{left}"


def _right(finish: str | None, width: int) -> str:
    if finish == "stop":
        return f"H{width - _HALF}A{_HALF} {_HALF} 0 0 1 {width - _HALF} {HEIGHT}"
    if finish == "abort":
        return f"H{width}L{width - 9} {_HALF}L{width} {HEIGHT}"
    if finish == "length":
        teeth = [f"L{width - 5 * (i % 2)} {HEIGHT * i / 6:.4g}" for i in range(1, 7)]
        return f"H{width}{''.join(teeth)}"
    return f"H{width}V{HEIGHT}"


def _rows(graph: nx.DiGraph[int], noted: Container[int]) -> dict[int, float]:
    """The row of each node, the uppermost one 0; linear in the number of nodes."""
    outlines: dict[int, _Outline] = {}
    offsets: dict[int, float] = {ROOT: 0.0}  # from the parent's row
    for node in nx.dfs_postorder_nodes(graph, ROOT):
        children = list(graph.successors(node))
        if not children:
            outlines[node] = _Outline.leaf(noted=node in noted)
            continue
        rows, outlines[node] = _stacked([outlines.pop(child) for child in children])
        offsets.update(zip(children, rows, strict=True))
    rows_from_root = {ROOT: 0.0}
    for parent, child in nx.dfs_edges(graph, ROOT):
        rows_from_root[child] = rows_from_root[parent] + offsets[child]
    top = min(rows_from_root.values())
    return {node: row - top for node, row in rows_from_root.items()}


@dataclass(slots=True, eq=False)
class _Outline:
    """The rows that a subtree takes in each column, the last column first.

    Attributes:
        first: The first row in each, less `shift`.
        last: The last row in each, less `shift`.
        shift: What is added to all of them to count from the row of the subtree's root.
    """

    first: list[float]
    last: list[float]
    shift: float = 0.0

    @classmethod
    def leaf(cls, *, noted: bool) -> _Outline:
        """A node without children; a note beside it takes the next column as well."""
        columns = 2 if noted else 1
        return cls([0.0] * columns, [0.0] * columns)

    def below(self, other: _Outline) -> float:
        """How far this one must go down to stand below another one in all columns."""
        pairs = zip(reversed(other.last), reversed(self.first), strict=False)
        return max(end - begin for end, begin in pairs) + 1 + other.shift - self.shift

    def joined(self, lower: _Outline) -> _Outline:
        """This one and a lower one together; neither may be used any more."""
        columns = range(1, 1 + min(len(self.first), len(lower.first)))
        if len(self.first) >= len(lower.first):
            for column in columns:
                self.last[-column] = lower.last[-column] + lower.shift - self.shift
            return self
        for column in columns:
            lower.first[-column] = self.first[-column] + self.shift - lower.shift
        return lower


def _stacked(children: Sequence[_Outline]) -> tuple[list[float], _Outline]:
    """The rows of subtrees from that of their parent, and the outline of all with their parent."""
    together, *others = children
    rows = [0.0]
    for lower in others:
        row = lower.below(together)
        rows.append(row)
        lower.shift += row
        together = together.joined(lower)
    middle = rows[-1] / 2
    together.shift -= middle
    together.first.append(-together.shift)
    together.last.append(-together.shift)
    return [row - middle for row in rows], together
