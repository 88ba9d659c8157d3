"""The chains of a run: figures by arm and kind, their table, and the picture."""

from __future__ import annotations

import struct

import pytest

from tests.analysis.thoughts import CHANGED, CORRECTED, DOUBTING, TWO_WAYS
from tests.evaluation.thinkers import record, tree, written
from tts.analysis import Reader
from tts.errors import ConfigError
from tts.evaluation.chains import chains_of, groups
from tts.evaluation.chains_plot import draw, picture
from tts.evaluation.chains_report import entries, markdown, notes, sheets

WRONG = CHANGED.replace("66", "65")
NONE = "<think>6*8=48 => 47+48-29\n\n"


@pytest.fixture
def folder(tmp_path):
    pairs = [
        (record("a", ["66", "66", "65"]), tree("a", [DOUBTING, CORRECTED, WRONG])),
        (record("b", ["66", None]), tree("b", [TWO_WAYS, NONE])),
        (record("c", ["66"], arm="one"), tree("c", [CORRECTED], arm="one", tokens=30)),
    ]
    return written(tmp_path / "run", pairs)


def grouped(folder, arm=None):
    return {(g.arm, g.kind): g for g in groups(list(chains_of(folder, Reader(), arm)))}


def test_chains_are_told_apart_by_what_came_of_them(folder):
    found = grouped(folder)
    assert {key: (g.chains, g.problems) for key, g in found.items()} == {
        ("votes", "right"): (3, 2),
        ("votes", "wrong"): (1, 1),
        ("votes", "no answer"): (1, 1),
        ("one", "right"): (1, 1),
    }


def test_a_mean_is_taken_over_problems_not_over_chains(folder):
    failed = grouped(folder)["votes", "right"].figures["failed"]
    assert failed.mean == pytest.approx(((0 + 2 / 5) / 2 + 0) / 2)
    assert failed.low == 0 and failed.high == pytest.approx(0.2)
    steps = grouped(folder)["votes", "right"].figures["steps"]
    assert (steps.mean, steps.low, steps.high) == (5, None, None)  # all alike: no spread


def test_tokens_are_counted_where_ids_were_kept(folder):
    found = grouped(folder)
    inside = len(CORRECTED) - len("<think></think>\\boxed{66}")
    assert found["one", "right"].counted
    assert found["one", "right"].figures["tokens"].mean == pytest.approx(
        30 * inside / len(CORRECTED)
    )


def test_tokens_are_estimated_from_the_first_piece_of_a_tree(folder):
    """Two a character, though the clocks of later pieces hold a batch that they waited for."""
    wrong = grouped(folder)["votes", "wrong"]
    assert not wrong.counted
    thinking = len(WRONG) - len("<think></think>\\boxed{65}")
    assert wrong.figures["tokens"].mean == pytest.approx(2 * thinking)


def test_a_node_that_candidates_share_counts_once(tmp_path):
    pair = (record("a", ["66", "66"]), tree("a", [DOUBTING], places=(0, 0)))
    (group,) = groups(list(chains_of(written(tmp_path, [pair]), Reader())))
    assert group.chains == 1


def test_failed_problems_are_left_out(tmp_path):
    pairs = [
        (record("a", ["66"]), tree("a", [DOUBTING])),
        (record("b", ["66"], status="failed"), tree("b", [DOUBTING])),
    ]
    assert len(list(chains_of(written(tmp_path, pairs), Reader()))) == 1


def test_one_arm_can_be_chosen(folder):
    assert set(grouped(folder, "one")) == {("one", "right")}
    with pytest.raises(ConfigError, match=r"has no arm vote\. Did you mean votes\?"):
        list(chains_of(folder, Reader(), "vote"))


def test_a_run_without_texts_says_how_to_keep_them(tmp_path):
    folder = written(tmp_path / "run", [(record("a", ["66"]), None)])
    with pytest.raises(ConfigError, match=r"kept no texts.*keep=texts"):
        list(chains_of(folder, Reader()))
    with pytest.raises(ConfigError, match="holds no results"):
        list(chains_of(tmp_path, Reader()))


def test_the_table_has_a_column_for_each_kind(folder):
    found = groups(list(chains_of(folder, Reader())))
    votes, one = sheets(found)
    assert votes.columns[1:] == ("right", "wrong", "no answer") and one.columns[1:] == ("right",)
    rows = {line[0]: line[1:] for line in votes.lines}
    assert rows["chains"] == ("3", "1", "1")
    assert rows["failed steps %"] == ("10 \\[0, 20]", "25", "0")
    assert rows["redundant %"][2] == "–"
    text = markdown(found)
    assert "### votes" in text and "analysis.png" in text and "keep=tokens" in text
    assert entries(found)["votes"]["wrong"]["failed"] == {"mean": 0.25, "low": None, "high": None}


def test_what_cannot_be_told_is_said(tmp_path):
    plain = "<think>47+19=65\n\nso be it\n\n</think>\\boxed{66}"
    found = groups(
        list(chains_of(written(tmp_path, [(record("a", ["66"]), tree("a", [plain]))]), Reader()))
    )
    said = " ".join(notes(found))
    assert "1 of 1 chains with an answer never conclude it" in said
    assert "No step begins with a word of reflection" in said


def test_the_picture_has_two_panels_an_arm(folder, tmp_path):
    chains = list(chains_of(folder, Reader()))
    figure = picture(chains)
    assert len(figure.axes) == 4
    length, place = figure.axes[:2]
    assert [text.get_text() for text in length.get_legend().get_texts()] == [
        "right (3)",
        "wrong (1)",
        "no answer (1)",
    ]
    for panel, kinds in ((length, 3), (place, 2)):
        heights = [patch.get_data().values.sum() for patch in panel.patches]
        assert heights == pytest.approx([100] * kinds)
    draw(chains, tmp_path / "picture.png")
    data = (tmp_path / "picture.png").read_bytes()
    width, height = struct.unpack(">II", data[16:24])
    assert data.startswith(b"\x89PNG") and width > height > 500
    assert not (tmp_path / "picture.png.part").exists()
