"""A search tree as a graph of networkx: for pictures, and for anyone's own questions.

Knows the shape of a tree and what its nodes say; not how it is drawn, nor which answers are right.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import networkx as nx

from tts.evaluation.trees import NodeRecord, TreeRecord

ROOT = -1
"""The node of the empty answer, from which all others grow."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a tree is; the root is not counted.

    Attributes:
        nodes: Pieces that were written.
        leaves: Those from which nothing grew.
        depth: Pieces on the longest path.
        widths: Pieces at depth 1, 2, ..., `depth`.
    """

    nodes: int
    leaves: int
    depth: int
    widths: tuple[int, ...]


def tree_graph(tree: TreeRecord) -> nx.DiGraph[int]:
    """The graph of a tree: an arborescence with `ROOT` at its root, edges from parent to child.

    Its nodes are the places in `tree.nodes`, and their attributes, each missing where it is not
    known:

    - `text`, `key`, `origin` (model, injected, forced), `clock` (tokens), as in the record;
    - `depth`: number of pieces up to here, 0 at the root;
    - `finish`: stop, step, length or abort; missing where the piece was injected or is still open;
    - `score` and `scale`: what a verifier said, as it said it;
    - `tokens`: how many token ids were kept (`keep=tokens`);
    - `candidates`: how many of the record's candidates end here;
    - `chosen`: whether it lies on the path of the final answer, the root included.

    The graph itself has `problem_id`, `repeat` and `configuration`.

    Args:
        tree: As kept, or `TreeRecord.of(result, "")`.
    """
    graph: nx.DiGraph[int] = nx.DiGraph(
        problem_id=tree.problem_id, repeat=tree.repeat, configuration=tree.configuration
    )
    ends = Counter(tree.candidates)
    empty = NodeRecord(text="")
    graph.add_node(ROOT, **_attributes(empty), depth=0, candidates=ends[ROOT], chosen=False)
    for place, node in enumerate(tree.nodes):
        depth = graph.nodes[node.parent]["depth"] + 1
        graph.add_node(
            place, **_attributes(node), depth=depth, candidates=ends[place], chosen=False
        )
        graph.add_edge(node.parent, place)
    if tree.chosen is not None:
        for place in nx.ancestors(graph, tree.chosen) | {tree.chosen}:
            graph.nodes[place]["chosen"] = True
    return graph


def shape(graph: nx.DiGraph[int]) -> Shape:
    """How large the graph of a tree is."""
    _, *layers = nx.bfs_layers(graph, ROOT)
    leaves = sum(1 for node in graph if node != ROOT and not graph.out_degree(node))
    return Shape(len(graph) - 1, leaves, len(layers), tuple(map(len, layers)))


def _attributes(node: NodeRecord) -> dict[str, Any]:
    found: dict[str, Any] = {"text": node.text, "key": node.key, "origin": node.origin}
    found["clock"] = node.clock
    if node.finish is not None:
        found["finish"] = node.finish
    if node.score is not None:
        found |= {"score": node.score.raw, "scale": node.score.scale}
    if node.tokens is not None:
        found["tokens"] = len(node.tokens)
    return found
