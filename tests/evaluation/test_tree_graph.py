"""The graph of a tree: an arborescence that says what the record says."""

from __future__ import annotations

import networkx as nx
from hypothesis import given, settings

from tests.evaluation.grown import solved, trees
from tts.evaluation.tree_graph import ROOT, shape, tree_graph
from tts.evaluation.trees import TreeRecord


@settings(deadline=None)
@given(tree=trees())
def test_it_is_an_arborescence_with_all_that_the_record_says(tree):
    graph = tree_graph(tree)
    assert nx.is_arborescence(graph)
    assert set(graph) == {ROOT, *range(len(tree.nodes))}
    for place, node in enumerate(tree.nodes):
        at = graph.nodes[place]
        assert list(graph.predecessors(place)) == [node.parent]
        assert at["depth"] == graph.nodes[node.parent]["depth"] + 1
        assert (at["text"], at["origin"], at["clock"]) == (node.text, node.origin, node.clock)
        assert at.get("finish") == node.finish
        assert at.get("score") == (node.score.raw if node.score else None)
        assert at["candidates"] == tree.candidates.count(place)


@settings(deadline=None)
@given(tree=trees())
def test_the_chosen_nodes_are_the_path_to_the_answer(tree):
    graph = tree_graph(tree)
    chosen = {place for place, at in graph.nodes.items() if at["chosen"]}
    if tree.chosen is None:
        assert not chosen
    else:
        assert chosen == set(nx.shortest_path(graph, ROOT, tree.chosen))


@settings(deadline=None)
@given(tree=trees())
def test_its_shape_counts_the_pieces(tree):
    found = shape(tree_graph(tree))
    parents = {node.parent for node in tree.nodes}
    assert found.nodes == sum(found.widths) == len(tree.nodes)
    assert found.leaves == len(set(range(len(tree.nodes))) - parents)
    assert found.depth == len(found.widths)


async def test_what_a_search_has_dropped_keeps_its_score(problem):
    """Every step of a beam search was judged, and the picture is to show why it was dropped."""
    result = await solved(problem)
    graph = tree_graph(TreeRecord.of(result, ""))
    dropped = [n for n in graph if not graph.out_degree(n) and graph.nodes[n]["finish"] == "step"]
    assert dropped
    assert all("score" in graph.nodes[node] for node in graph if node != ROOT)
    assert "".join(
        graph.nodes[node]["text"] for node in sorted(graph) if graph.nodes[node]["chosen"]
    ).endswith(result.best.trajectory.segment.text)
