"""Where nodes stand: never upon each other, parents in the middle, children to the right."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

import pytest
from hypothesis import given, settings

from tests.evaluation.grown import trees
from tts.evaluation.tree_graph import ROOT, tree_graph
from tts.evaluation.tree_layout import ASIDE, COLUMN, HEIGHT, MARGIN, ROW, WIDTH, places, size
from tts.evaluation.trees import NodeRecord, TreeRecord


def forest(*parents):
    nodes = [NodeRecord(parent=parent, text="") for parent in parents]
    return tree_graph(TreeRecord(configuration="", problem_id="", nodes=nodes, candidates=()))


@settings(deadline=None)
@given(tree=trees())
def test_no_two_nodes_overlap_and_all_are_in_the_picture(tree):
    graph = tree_graph(tree)
    where = places(graph)
    width, height = size(where)
    columns = defaultdict(list)
    for node, place in where.items():
        assert place.x == MARGIN + COLUMN * graph.nodes[node]["depth"]
        assert MARGIN <= place.y <= height - HEIGHT - MARGIN + 1e-6
        assert place.x + WIDTH + ASIDE <= width
        columns[place.x].append(place.y)
    assert min(place.y for place in where.values()) == pytest.approx(MARGIN)
    for rows in columns.values():
        assert all(below - above >= ROW - 1e-6 for above, below in pairwise(sorted(rows)))


@settings(deadline=None)
@given(tree=trees())
def test_a_parent_stands_in_the_middle_of_its_children(tree):
    graph = tree_graph(tree)
    where = places(graph)
    for node in graph:
        rows = [where[child].y for child in graph.successors(node)]
        if rows:
            assert rows == sorted(rows)
            assert where[node].y == pytest.approx((rows[0] + rows[-1]) / 2)


@settings(deadline=None)
@given(tree=trees())
def test_a_note_beside_a_leaf_has_room(tree):
    graph = tree_graph(tree)
    leaves = [node for node in graph if not graph.out_degree(node)]
    where = places(graph, set(leaves))
    for leaf in leaves:
        beside = [p.y for p in where.values() if p.x == where[leaf].x + COLUMN]
        assert all(abs(y - where[leaf].y) >= ROW - 1e-6 for y in beside)


def test_independent_samples_stand_on_consecutive_rows():
    where = places(forest(*[ROOT] * 256))
    assert [where[node].y for node in range(256)] == [MARGIN + ROW * i for i in range(256)]


def test_dead_ends_leave_no_gaps():
    """A beam of one: a step has 4 children, the last of which goes on, for 40 steps."""
    parents, last = [], ROOT
    for _ in range(40):
        parents += [last] * 4
        last = len(parents) - 1
    where = places(forest(*parents))
    assert len({place.y for place in where.values()}) < len(parents)
    for step in range(40):
        rows = [where[node].y for node in range(4 * step, 4 * step + 4)]
        assert [below - above for above, below in pairwise(rows)] == [ROW] * 3


def test_a_chain_of_thousands_is_a_straight_line():
    where = places(forest(*range(-1, 2999)))
    assert len(where) == 3001
    assert {place.y for place in where.values()} == {MARGIN}
