"""A search tree for the terminal: a line a node.

The path of the final answer runs straight down the left side as a heavy line; what was not followed
hangs off it. Large trees are folded: what is nearest to the path, and of that what scored best,
stays; the rest is counted where it hung.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import networkx as nx
from rich.console import Group
from rich.text import Text

from tts.evaluation.tree_exhibit import Exhibit, one_line
from tts.evaluation.tree_graph import ROOT

_COLOURS = {True: "green", False: "red", None: ""}
_BARS = "▁▂▃▄▅▆▇█"
_DEEPEST = 24  # characters of indentation
_LONGEST = 300  # characters of a node's text; the terminal cuts them further


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of the tree.

    Attributes:
        node: What it shows; None if it stands for what is folded.
        folded: Number of nodes that it stands for.
        guide: The lines that lead to it.
    """

    node: int | None
    folded: int = 0
    guide: str = ""


def tree_text(exhibit: Exhibit, *, most: int = 40) -> Group:
    """A search tree for `rich.print`; its lines are cut to the width of the terminal.

    Args:
        exhibit: What is shown.
        most: Most nodes beside the path of the answer that are shown, at least 0.
    """
    drawing = _Drawing(exhibit, most)
    lines = [Text("depth ended     score", style="dim"), *drawing.lines()]
    if folded := len(exhibit.graph) - len(drawing.shown):
        said = f"{folded:,} of {len(exhibit.graph) - 1:,} pieces are folded."
        lines.append(Text(said, style="yellow"))
    tree = Text("\n", no_wrap=True, overflow="ellipsis").join(lines)
    return Group(*_head(exhibit), tree)


def _head(exhibit: Exhibit) -> Iterator[Text]:
    yield Text(one_line(exhibit.name), style="bold")
    if exhibit.question:
        yield Text(one_line(exhibit.question))
    if exhibit.outcome:
        yield Text(one_line(exhibit.outcome))
    for name, value in exhibit.facts:
        yield Text.assemble((f"{one_line(name)}: ", "dim"), one_line(value))
    yield Text("")


class _Drawing:
    """The lines of one tree.

    Attributes:
        shown: The nodes that are not folded; with each its ancestors.
    """

    def __init__(self, exhibit: Exhibit, most: int) -> None:
        self._exhibit, self._graph = exhibit, exhibit.graph
        self.shown = _shown(exhibit, most)
        self._sizes: dict[int, int] = {}
        for node in nx.dfs_postorder_nodes(self._graph, ROOT):
            self._sizes[node] = 1 + sum(self._sizes[n] for n in self._graph.successors(node))

    def lines(self) -> Iterator[Text]:
        """The path from the root to the answer, and after each of its nodes what hangs off."""
        node: int | None = ROOT
        while node is not None:
            children = self._graph.successors(node)
            followed = next((n for n in children if self._graph.nodes[n]["chosen"]), None)
            is_answer = followed is None and node != ROOT
            yield self._drawn(_Line(node, guide="● " if is_answer else "┃ "))
            aside = self._below(node, but=followed)
            for place, line in enumerate(aside):
                is_last = followed is None and place == len(aside) - 1
                guide, rest = ("┗━", "  ") if is_last else ("┣━", "┃ ")
                yield from self._branch(replace(line, guide=guide), rest)
            node = followed

    def _branch(self, line: _Line, rest: str) -> Iterator[Text]:
        """A line, and all below it behind `rest`. A chain is not indented."""
        waiting = [(line, rest)]
        while waiting:
            line, rest = waiting.pop()
            yield self._drawn(line)
            below = [] if line.node is None else self._below(line.node)
            if len(below) == 1:
                waiting.append((replace(below[0], guide=rest), rest))
                continue
            for child in reversed(below):
                guide, more = ("└─", "  ") if child is below[-1] else ("├─", "│ ")
                waiting.append((replace(child, guide=rest + guide), rest + more))

    def _below(self, node: int, *, but: int | None = None) -> list[_Line]:
        children = [child for child in self._graph.successors(node) if child != but]
        folded = sum(self._sizes[child] for child in children if child not in self.shown)
        lines = [_Line(child) for child in children if child in self.shown]
        return [*lines, _Line(None, folded)] if folded else lines

    def _drawn(self, line: _Line) -> Text:
        guide = line.guide
        if len(guide) > _DEEPEST:
            guide = "…" + guide[1 - _DEEPEST :]
        if line.node is None:
            pieces = "piece" if line.folded == 1 else "pieces"
            return Text(f"{'':22}{guide}… {line.folded:,} more {pieces}", style="dim")
        at = self._graph.nodes[line.node]
        tone = self._exhibit.tones.get(line.node)
        bar = " " if tone is None else _BARS[min(7, int(8 * tone))]
        score = f"{at['score']:>7.3g}" if "score" in at else ""
        verdict = self._exhibit.verdicts.get(line.node)
        mark = (f"{verdict}  ", _COLOURS[verdict.correct]) if verdict else ""
        written = "(the prompt)" if line.node == ROOT else one_line(at["text"][:_LONGEST])
        style = "bold" if at["chosen"] else ""
        ended = at.get("finish", "") if at["origin"] == "model" else at["origin"]
        return Text.assemble(
            (f"{at['depth']:>5} {ended:<6}", "dim"), f" {bar}{score:<8}", guide, mark,
            (written, style),
        )  # fmt: skip


def _shown(exhibit: Exhibit, most: int) -> set[int]:
    graph, away = exhibit.graph, {ROOT: 0}
    for parent, node in sorted(graph.edges, key=lambda edge: edge[1]):  # parents come first
        away[node] = 0 if graph.nodes[node]["chosen"] else away[parent] + 1
    aside = [node for node in graph if away[node]]
    aside.sort(key=lambda node: (away[node], -exhibit.tones.get(node, 0.0), node))
    return {node for node in graph if not away[node]} | set(aside[:most])
