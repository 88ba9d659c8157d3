"""Figures: every arm on them, well-formed as SVG, in the colours of the page."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from tests.reporting.made import USAGE, folder, record
from tests.reporting.test_boards import boarded
from tts.reporting.costs import COSTS, figure, varying
from tts.reporting.looks import COLOURS, MARKERS, Look, looks
from tts.reporting.pictures import against, by_level, tip
from tts.reporting.svg import inline, save

EVIL = "$\\frac{<script>$ & \"'_^\x00"


@pytest.fixture
def board(tmp_path):
    """Three arms of rising cost, the first of which asks no verifier; one has a hostile name."""
    arms = {"one": {}, EVIL: {"verifier_calls": 3}, "three": {"verifier_calls": 90}}
    rows = [
        record(
            f"p{i}", arm, correct=i % 4 <= n, usage={**USAGE, "completion_tokens": 10**n, **more}
        )
        for n, (arm, more) in enumerate(arms.items())
        for i in range(8)
    ]
    return boarded(folder(tmp_path, *rows))[0]


def drawn(board, cost, name="x"):
    tips = {arm.number: tip(arm.row, cost) for arm in board.arms}
    chart = against(board.rows, cost, looks(r.series for r in board.rows), legend=False)
    return str(inline(chart, name, "About & <this>", tips))


@pytest.mark.parametrize("cost", [COSTS[0], COSTS[5]], ids=lambda cost: cost.field)
def test_each_arm_is_a_point_that_says_what_it_is(board, cost):
    root = ET.fromstring(drawn(board, cost))
    titles = [title.text for title in root.iter() if title.tag.endswith("title")]
    assert len(titles) == 3 and titles[0].startswith("one: 25.0% (")
    assert "$\\frac{<script>$" in titles[1] and "␀" in titles[1]
    assert f"{figure(cost.of(board.rows[2]))} {cost.name} per problem" in titles[2]
    assert root.attrib["aria-label"] == "About & <this>"


def test_colours_follow_the_theme(board):
    text = drawn(board, COSTS[0])
    assert ("var(--c0)" in text and "var(--ink)" in text) or "var(--soft)" in text
    assert not re.search(r"#[0-9a-fA-F]{6}", text) and "<style" not in text


def test_names_inside_two_pictures_do_not_clash(board):
    one, two = (set(re.findall(r'\bid="([^"]*)"', drawn(board, COSTS[0], n))) for n in "xy")
    assert one and not one & two
    text = drawn(board, COSTS[0])
    assert set(re.findall(r'(?:href="|url\()#([^")]*)', text)) <= one


def test_a_picture_is_the_same_every_time(board):
    assert drawn(board, COSTS[0]) == drawn(board, COSTS[0])


def test_a_legend_bears_any_name(board, tmp_path):
    chart = against(board.rows, COSTS[0], looks(r.series for r in board.rows), legend=True)
    save(chart, tmp_path / "a.png", "png", "a")
    lines = [(EVIL, Look(COLOURS[0], "o"), [(0.5, 0.2, 0.7), None])]
    chart = by_level(["1", "2"], lines, legend=True, note="Simulated")
    save(chart, tmp_path / "b.svg", "svg", "b")
    assert (tmp_path / "a.png").stat().st_size > 5000


def test_only_components_that_tell_arms_apart_are_drawn(board):
    assert [cost.field for cost in varying(board.rows)] == [
        *("completion_tokens", "total_tokens", "verifier_calls"),
    ]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0"),
        (0.5, "0.5"),
        (12.34, "12.3"),
        (1234.5, "1,234"),
        (1.5e9, "1.50e9"),
        (2e-5, "2.00e-5"),
    ],
)
def test_costs_are_told_with_three_digits(value, said):
    assert figure(value) == said


def test_neighbouring_series_look_different():
    found = list(looks(map(str, range(40))).values())
    assert len({(look.colour, look.marker) for look in found[: len(COLOURS)]}) == len(COLOURS)
    assert len(set(found[:18])) == 18
    for marker in MARKERS:
        numbers = [float(n) for n in re.findall(r"-?\d[\d.e-]*", Look("#000000", marker).outline)]
        assert max(map(abs, numbers)) == pytest.approx(1, abs=0.01)
