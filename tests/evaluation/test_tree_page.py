"""The page: everything of the tree once, nothing of the model's as markup, no network."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import matplotlib
import pytest
from hypothesis import given, settings

from tests.evaluation.grown import beams, probability, solved, trees
from tts.errors import GradingError
from tts.evaluation.records import Record, ScoreRecord
from tts.evaluation.tree_exhibit import Exhibit
from tts.evaluation.tree_graph import ROOT, tree_graph
from tts.evaluation.tree_page import colour, tree_page
from tts.evaluation.trees import NodeRecord, TreeRecord

VOID = {"meta", "path", "br"}


class Page(HTMLParser):
    """What a page holds.

    Attributes:
        tags: How often each was opened.
        links: Attributes that could lead elsewhere.
        nodes: By section and number, a node's attributes, colour and text.
    """

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.nodes, self.edges = {}, [], {}, []
        self.options, self._open, self._section, self._node = [], [], "", None
        self.feed(text)
        self.close()
        assert not self._open, "every tag is closed"

    def handle_starttag(self, tag, attrs):
        at = dict(attrs)
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.links += [at[name] for name in ("src", "href", "xlink:href", "action") if name in at]
        if tag == "section":
            self._section = at["id"]
        if tag == "g":
            key = (self._section, int(at["data-node"]))
            assert key not in self.nodes
            self._node = self.nodes[key] = {**at, "class": at["class"].split(), "title": ""}
        if tag == "path" and "g" in self._open:
            self._node["fill"] = at.get("style", "").removeprefix("fill:")
        if tag == "path" and "edge" in at.get("class", "").split():
            self.edges.append((self._section, int(at["data-to"]), "chosen" in at["class"]))
        if tag not in VOID or tag == "path":
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] == "option":
            self.options.append(data)
        if self._open[-1:] == ["title"] and "g" in self._open:
            self._node["title"] += data


def lightness(colour):
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2


def tree(*nodes, **about):
    return TreeRecord(configuration="", problem_id="p", nodes=nodes, candidates=(), **about)


@settings(max_examples=40, deadline=None)
@given(found=trees())
def test_every_node_stands_once_on_the_page_with_its_text(found):
    page = Page(tree_page([Exhibit(found)]))
    graph = tree_graph(found)
    assert {number for _, number in page.nodes} == set(graph)
    assert sorted(number for _, number, _ in page.edges) == list(range(len(found.nodes)))
    for (_, number), node in page.nodes.items():
        at = graph.nodes[number]
        said = re.sub(r"\r\n?", "\n", at["text"])
        _, _, text = node["title"].partition("\n\n")
        assert re.sub(r"\r\n?", "\n", text) == said
        assert ("chosen" in node["class"]) == at["chosen"]
        assert (at.get("finish", "open") in node["class"]) or number == ROOT
        assert int(node.get("data-parent", ROOT)) == next(graph.predecessors(number), ROOT)
    assert {(number, chosen) for _, number, chosen in page.edges} == {
        (number, at["chosen"]) for number, at in graph.nodes.items() if number != ROOT
    }


def test_a_higher_score_is_a_lighter_colour():
    scores = [i / 20 for i in range(21)]
    page = Page(
        tree_page([Exhibit(tree(*(NodeRecord(text="", score=probability(s)) for s in scores)))])
    )
    nodes = sorted((n for n in page.nodes.values() if "data-score" in n), key=_score)
    shades = [lightness(node["fill"]) for node in nodes]
    assert [_score(node) for node in nodes] == scores
    assert shades == sorted(shades) and len(set(shades)) == len(shades)
    (root,) = (n for n in page.nodes.values() if "data-score" not in n)
    assert root["fill"] == ""


def _score(node):
    return float(node["data-score"])


def test_labels_can_be_read_on_every_colour():
    """WCAG asks for a contrast of 4.5 to 1."""
    for step in range(101):
        fill, ink = colour(step / 100)
        pair = sorted((lightness(fill), 0.0 if ink == "#000" else 1.0))
        assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.4
    assert colour(0.5)[0] == matplotlib.colors.to_hex(matplotlib.colormaps["viridis"](0.5))


@pytest.mark.parametrize(
    ("scores", "tones"),
    [
        ([("reward", -3.0), ("reward", 1.0), ("reward", 0.0)], [0, 1, 0.75]),
        ([("reward", 2.0)], [0.5]),
        ([("logit", 0.0), ("probability", 0.25)], [0.5, 0.25]),
    ],
)
def test_scores_of_every_scale_get_a_tone(scores, tones):
    nodes = [NodeRecord(text="", score=ScoreRecord(raw=r, scale=s)) for s, r in scores]
    assert list(Exhibit(tree(*nodes)).tones.values()) == tones


def test_nothing_that_was_written_becomes_markup():
    evil = '</title></svg><script>alert("x")</script><img src=//evil onerror="x">&lt;\'"'
    harmless, page = (
        Page(tree_page([Exhibit(tree(NodeRecord(text=t, key=t), details={t: t}), question=t)]))
        for t in ("x", evil)
    )
    assert page.tags == harmless.tags
    assert page.nodes["tree-0", 0]["title"].endswith(evil)


async def test_a_page_needs_no_network(task, tmp_path):
    text = tree_page(await beams(task, tmp_path))
    page = Page(text)
    assert not re.search(r"https?:|//[a-z]|url\(|@import", text)
    assert not page.links
    assert page.tags["script"] == page.tags["style"] == 1 and "link" not in page.tags
    assert "default-src 'none'" in text


async def test_a_searched_run_is_shown_with_its_verdicts(task, tmp_path):
    exhibits = await beams(task, tmp_path)
    page = Page(tree_page(exhibits))
    assert len(page.options) == page.tags["section"] == 12
    for place, exhibit in enumerate(exhibits):
        record, found = exhibit.record, exhibit.tree
        assert record.problem_id in page.options[place]
        for end, candidate in zip(found.candidates, record.candidates, strict=True):
            classes = page.nodes[f"tree-{place}", end]["class"]
            assert ("right" in classes, "wrong" in classes) == (
                candidate.correct,
                not candidate.correct,
            )
        assert page.nodes[f"tree-{place}", ROOT]["title"].endswith(exhibit.question)
        chosen = found.candidates.index(found.chosen)
        assert record.candidates[chosen].answer == record.answer
    said = {bool(e.record.correct): e.outcome for e in exhibits}
    assert "which is right" in said[True] and "0 is right" in said[False]


async def test_a_problem_whose_answers_could_not_be_graded_is_shown(problem):
    result = await solved(problem)
    about = {"arm": "a", "configuration": "", "gold": "0", "seed": 0}
    record = Record.failure(result, GradingError("The grader crashed."), **about)
    exhibit = Exhibit(TreeRecord.of(result, ""), record)
    assert exhibit.outcome == "A fault ended it: GradingError: The grader crashed."
    found = Page(tree_page([exhibit])).nodes
    assert len(found) == 1 + len(exhibit.tree.nodes)
    assert not any({"right", "wrong"} & set(node["class"]) for node in found.values())


async def test_costs_and_details_are_told(task, tmp_path):
    exhibit = (await beams(task, tmp_path))[0]
    facts = dict(exhibit.facts)
    assert facts["tree"].startswith(f"{len(exhibit.tree.nodes)} pieces, ")
    assert f"{exhibit.record.usage['completion_tokens']} completion tokens" in facts["cost"]
    kept = tree(details={"ess": [8.0, 3.14159], "depths": {"1": 4}, "tau": 7, "pairs": [[1, 2]]})
    told = dict(Exhibit(kept).facts)
    assert (told["ess"], told["depths"], told["tau"], told["pairs"]) == (
        "8 3.142", "1: 4", "7", "[1 2]",
    )  # fmt: skip


async def test_tokens_are_counted_where_they_were_kept(task, tmp_path):
    (exhibit, *_) = await beams(task, tmp_path / "tokens", keep="tokens")
    counts = [len(node.tokens) for node in exhibit.tree.nodes if node.tokens is not None]
    shown = [exhibit.about(place) for place in range(len(exhibit.tree.nodes))]
    assert sum(" tokens ·" in about or " token ·" in about for about in shown) == len(counts)


def test_a_thousand_nodes_make_a_page_that_a_browser_bears():
    nodes = [
        NodeRecord(parent=max(-1, i - 50), text=f"step {i}", score=probability(0.5))
        for i in range(3000)
    ]
    text = tree_page([Exhibit(tree(*nodes))])
    assert len(Page(text).nodes) == 3001
    assert len(text) < 3_000_000


def test_the_example_of_the_documentation_runs(tmp_path):
    text = (Path(__file__).parents[2] / "docs" / "trees.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "[-1, " in done.stdout and "Shape(nodes=8" in done.stdout
    assert len(Page((tmp_path / "tree.html").read_text()).nodes) == 9
