"""The tree in the terminal: each node on a line, large trees folded, none of it unaccounted for."""

from __future__ import annotations

import io
import re

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from tests.evaluation.grown import beams, probability, trees
from tts.evaluation.tree_exhibit import Exhibit
from tts.evaluation.tree_text import tree_text
from tts.evaluation.trees import NodeRecord, TreeRecord

HEAD = "depth ended     score"


def lines(exhibit, width=200, **options):
    """The lines of the tree, without what stands above them."""
    console = Console(width=width, file=io.StringIO())
    console.print(tree_text(exhibit, **options))
    _, _, below = console.file.getvalue().partition(HEAD)
    return [line.rstrip() for line in below.splitlines()[1:]]


def numbered(tree):
    nodes = [n.model_copy(update={"text": f"<{i}>"}) for i, n in enumerate(tree.nodes)]
    return Exhibit(tree.model_copy(update={"nodes": tuple(nodes)}))


def shown(drawn):
    return [int(number) for line in drawn for number in re.findall(r"<(\d+)>", line)]


@settings(deadline=None)
@given(tree=trees())
def test_a_small_tree_has_a_line_a_node(tree):
    drawn = lines(numbered(tree))
    assert sorted(shown(drawn)) == list(range(len(tree.nodes)))
    assert len(drawn) == 1 + len(tree.nodes)


@settings(deadline=None)
@given(tree=trees(), most=st.integers(0, 20))
def test_what_is_folded_is_counted_where_it_hung(tree, most):
    exhibit = numbered(tree)
    drawn = lines(exhibit, most=most)
    trunk = {n for n, at in exhibit.graph.nodes.items() if at["chosen"] and n >= 0}
    seen = shown(drawn)
    assert len(seen) == len(set(seen)) and trunk <= set(seen)
    assert len(seen) == min(len(tree.nodes), len(trunk) + most)
    folded = [int(n.replace(",", "")) for line in drawn for n in re.findall(r"… (\d+) more", line)]
    assert sum(folded) == len(tree.nodes) - len(seen)
    assert bool(folded) == (drawn[-1].endswith(f"of {len(tree.nodes)} pieces are folded."))


@settings(deadline=None)
@given(tree=trees())
def test_parents_stand_above_their_children(tree):
    place = {number: i for i, number in enumerate(shown(lines(numbered(tree))))}
    for number, node in enumerate(tree.nodes):
        assert node.parent < 0 or place[node.parent] < place[number]


async def test_the_path_of_the_answer_runs_down_the_left_side(task, tmp_path):
    exhibit = (await beams(task, tmp_path))[0]
    drawn = lines(exhibit)
    path = [line for line in drawn if re.match(r".{22}[┃●] [^…├└│]", line)]
    *steps, last = path
    assert [int(line[:5]) for line in path] == list(range(len(path)))
    assert "●" in last and exhibit.record.answer in last
    assert all("┃ " in line for line in steps)
    assert sum("✓" in line or "✗" in line for line in drawn) == len(set(exhibit.tree.candidates))


def test_best_of_256_is_folded_to_the_best():
    nodes = [NodeRecord(text=f"<{i}>", score=probability(i / 256)) for i in range(256)]
    tree = TreeRecord(
        configuration="", problem_id="p", nodes=nodes, candidates=range(256), chosen=255
    )
    drawn = lines(Exhibit(tree), most=10)
    assert shown(drawn) == list(range(245, 256))
    assert any("… 245 more pieces" in line for line in drawn)
    assert drawn[-1] == "245 of 256 pieces are folded."


def test_a_deep_tree_stays_within_the_terminal():
    nodes = [NodeRecord(parent=2 * ((i - 2) // 2) if i > 1 else -1, text="x") for i in range(400)]
    tree = TreeRecord(configuration="", problem_id="p", nodes=nodes, candidates=())
    assert max(map(len, lines(Exhibit(tree), width=80, most=400))) <= 80


def test_what_a_model_writes_moves_no_cursor():
    nodes = [NodeRecord(text="a\x1b[2Jb\r\n\x07c [bold]d[/bold]")]
    tree = TreeRecord(configuration="", problem_id="p", nodes=nodes, candidates=())
    drawn = "\n".join(lines(Exhibit(tree)))
    assert "a·[2Jb ·c [bold]d[/bold]" in drawn and "\x1b" not in drawn
