from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts.errors import BackendError, ConfigError
from tts.executors._flat import pack, portable, unpack
from tts.types import Candidate, Problem, Result, Score, Segment, Trajectory


def chain(length):
    node = Trajectory.root(clock=3)
    for i in range(length):
        node = node.extend(Segment(f"step {i} ", (i,)), child=i % 3, clock=i)
    return node


def rows(node):
    return [
        (n.segment, n.key, n.depth, n.clock, n.finish, n.score, n.watched) for n in node.nodes()
    ]


def test_a_chain_of_many_thousand_nodes_arrives():
    node = chain(5000)
    arrived = unpack(pack(node))
    assert rows(arrived) == rows(node)
    assert next(arrived.nodes()).parent.clock == 3


@given(st.lists(st.integers(0, 30), min_size=1, max_size=30))
def test_a_tree_keeps_its_shape(parents):
    nodes = [Trajectory.root()]
    for child, parent in enumerate(parents):
        above = nodes[parent % len(nodes)]
        nodes.append(above.extend(Segment(str(child)), child=child, clock=child))
    arrived = unpack(pack(nodes))
    assert [rows(node) for node in arrived] == [rows(node) for node in nodes]
    place = {id(node): i for i, node in enumerate(nodes)}
    for before, after in zip(nodes, arrived, strict=True):
        if before.parent is not None:
            assert after.parent is arrived[place[id(before.parent)]]


def test_a_shared_prefix_is_sent_once():
    prefix = chain(200)
    leaves = [prefix.extend(Segment("end"), child=i, clock=0) for i in range(50)]
    assert len(pack(leaves)) < 2 * len(pack(leaves[:1]))


def test_a_result_arrives_whole():
    leaf = replace(chain(3).scored(Score(0.5, "probability")), finish="stop", watched=("state", 2))
    best = Candidate(leaf, None)
    result = Result(
        "p", best, (best,), tree=(leaf,), error=ConfigError("No.", hint="Do."), repeat=2
    )
    arrived = unpack(pack(result))
    assert arrived.best.trajectory is arrived.tree[0]
    assert rows(arrived.tree[0]) == rows(leaf)
    assert str(arrived.error) == "No. Do."
    assert (arrived.problem_id, arrived.repeat, arrived.details) == ("p", 2, {})


def test_a_problem_arrives_equal():
    problem = Problem("p", prompt="1+1", metadata={"level": 3})
    assert unpack(pack(problem)) == problem
    assert unpack(pack(Problem("q", prompt="?"))).metadata == {}


class Stubborn(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} {two}")


def test_an_error_that_cannot_travel_is_told_in_words():
    told = portable(Stubborn("out", "of order"))
    assert type(told) is BackendError
    assert str(told) == "Stubborn: out of order"


@pytest.mark.parametrize("error", [ConfigError("No.", hint="Do."), ValueError("no")])
def test_an_error_that_can_travel_does(error):
    assert portable(error) is error
