"""The picture of a run, by what its axes hold."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tts.evaluation import Names, Outcome, Row
from tts.evaluation._labels import spread
from tts.evaluation.curves import Curve
from tts.evaluation.plot import draw, picture
from tts.evaluation.statistics import Interval
from tts.types import Usage

FIELDS = ("completion_tokens", "sequential_tokens")


def row(right, label, tokens, *, failed=0, series=""):
    usage = Usage(completion_tokens=tokens, sequential_tokens=tokens // 2)
    outcomes = [
        Outcome(
            problem_id=f"p{i}",
            repeat=0,
            status="failed" if i < failed else "done",
            correct=i < right,
            covered=i < right,
            answered=True,
            usage=usage,
            elapsed=1.0,
        )
        for i in range(10)
    ]
    names = Names(
        strategy_name="any", task="toy", model="some-model", backend="vllm", series=series
    )
    return Row.of(label, names, label, outcomes)


def interval(mean):
    return Interval(mean, mean - 0.1, mean + 0.1)


def curve(end, *, ceiling=0.85, n=4, drawn=None):
    ks = [1, 2, 4, 8][: n.bit_length()]
    selected = {k: interval(0.3 + (end - 0.3) * k / n) for k in ks}
    covered = {k: interval(0.3 + (ceiling - 0.3) * k / n) for k in ks}
    return Curve(selected, covered, drawn)


def compared(**curves):
    """A greedy arm of 100 tokens, and two of 400."""
    rows = [row(4, "greedy", 100), row(5, "votes", 400), row(8, "best", 400)]
    return picture(rows, {"votes": curve(0.5), "best": curve(0.8)} | curves)


def lines(axes, style):
    return [
        line for line in axes.lines if line.get_linestyle() == style and len(line.get_xdata()) > 1
    ]


def points(axes):
    return [container.lines[0] for container in axes.containers]


def texts(axes):
    return [text.get_text() for text in axes.texts if text.get_text()]


@pytest.mark.parametrize(
    "labels", [["a"], ["a", "b", "c"], [f"a rather long label {i}" for i in range(9)]]
)
def test_the_picture_is_a_png(labels, tmp_path):
    rows = [row(3 + i % 6, label, 100 * (i + 1)) for i, label in enumerate(labels)]
    rows.append(row(0, "failed", 100, failed=10))
    draw(rows, tmp_path / "picture.png", {labels[-1]: curve(0.5)})
    head = (tmp_path / "picture.png").read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", head[16:24])
    assert width >= 1200 and height >= 600
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]


def test_a_run_in_which_all_failed_has_a_picture():
    figure = picture([row(0, "failed", 100, failed=10)], {})
    assert not any(axes.containers for axes in figure.axes)


def test_every_row_is_inside_the_picture():
    rows = [row(2, "a", 80), row(9, "b", 2000), row(9, "c", 2000)]
    for axes, field in zip(picture(rows, {}).axes, FIELDS, strict=True):
        (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        for each in rows:
            assert left < each.per_problem(field) < right
            assert bottom < 100 * each.accuracy_low and 100 * each.accuracy_high < top
        assert len(axes.containers) == 3
        assert axes.get_xscale() == "log"


def test_independent_samples_are_curves_at_equal_tokens():
    main, chain = compared().axes
    votes, best = lines(main, "-")
    assert list(votes.get_xdata()) == list(best.get_xdata()) == [100, 200, 400]
    assert list(votes.get_ydata()) == pytest.approx([35, 40, 50])
    assert list(best.get_ydata()) == pytest.approx([42.5, 55, 80])
    bottom, top = main.get_ylim()
    assert bottom < 25 and top > 90  # the bands
    assert texts(main)[:3] == ["k=1", "k=2", "k=4"]
    assert len(points(main)) == 1 and len(points(chain)) == 3
    assert not lines(chain, "--")


def test_arms_that_share_their_draws_share_their_ceiling():
    (ceiling,) = lines(compared().axes[0], "--")
    assert list(ceiling.get_xdata()) == [100, 200, 400]
    assert ceiling.get_ydata()[-1] == pytest.approx(85)
    apart = compared(best=curve(0.8, ceiling=0.95)).axes[0]
    assert [line.get_ydata()[-1] for line in lines(apart, "--")] == pytest.approx([85, 95])
    assert any("95.0%" in text and "best" in text for text in texts(apart))


def test_the_first_row_is_the_level_to_beat():
    for axes in compared().axes:
        (level,) = lines(axes, ":")
        assert list(level.get_ydata()) == [40, 40]
    assert not lines(picture([row(4, "a", 100), row(5, "b", 100)], {}).axes[0], ":")
    first = picture([row(5, "votes", 400), row(4, "b", 100)], {"votes": curve(0.5)})
    assert not lines(first.axes[0], ":")


def test_everything_is_named_where_it_ends():
    figure = compared()
    named = {text: t.get_position()[1] for t in figure.axes[0].texts if (text := t.get_text())}
    wanted = ["greedy 40.0%", "votes 50.0%", "best 80.0%", "ceiling, any of 4 right 85.0%"]
    heights = [named[text] for text in wanted]
    assert heights == sorted(heights)
    assert figure.get_suptitle() == "some-model on toy, 10 problems"
    assert not figure.legends


def test_rows_of_a_series_are_joined_and_have_no_curve():
    rows = [row(3 + i, f"a {i}", 100 * 2**i, series="a") for i in range(3)]
    main = picture(rows, {each.configuration: curve(0.5) for each in rows}).axes[0]
    (joined,) = points(main)
    assert list(joined.get_xdata()) == [100, 200, 400]
    assert not lines(main, "--")


def test_samples_of_different_prices_are_not_counted_along_the_top():
    rows = [row(5, "a", 400), row(5, "b", 600)]
    main = picture(rows, {"a": curve(0.5), "b": curve(0.5)}).axes[0]
    assert not any(text.startswith("k=") for text in texts(main))


def test_the_footnote_says_how_curves_came_about():
    assert "exact over subsets of the n samples." in compared().get_supxlabel()
    assert "1,333 random" in compared(best=curve(0.8, drawn=1333)).get_supxlabel()
    assert "subsets" not in picture([row(4, "a", 100)], {}).get_supxlabel()


@given(boxes=st.lists(st.tuples(st.floats(0, 1), st.floats(0.01, 0.1)), min_size=1, max_size=9))
@settings(deadline=None)
def test_labels_never_overlap(boxes):
    wanted, heights = zip(*boxes, strict=True)
    centres = spread(wanted, heights, 0.0, 1.0)
    placed = sorted(zip(centres, heights, wanted, strict=True))
    for (low, a, first), (high, b, second) in pairwise(placed):
        assert high - low >= (a + b) / 2 - 1e-9
        assert first <= second
    ends = [(c - h / 2, c + h / 2) for c, h, _ in placed]
    assert ends[0][0] >= -1e-9 and ends[-1][1] <= 1 + 1e-9


def test_labels_that_have_room_stay_where_they_are():
    assert spread([0.7, 0.2], [0.1, 0.1], 0, 1) == pytest.approx([0.7, 0.2])
    assert spread([0.5, 0.5], [0.1, 0.3], 0, 1) == pytest.approx([0.4, 0.6])
