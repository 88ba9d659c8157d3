"""What steps do in the chains of a run: the sample, the figures, their table, and the picture."""

from __future__ import annotations

import asyncio

import pytest

from tests.analysis.copier import KNOWN, UNKNOWN, Copier
from tests.analysis.thoughts import CHANGED, CORRECTED, DOUBTING, TWO_WAYS
from tests.evaluation.thinkers import record, tree, written
from tts.analysis import Phrasing, Reader, read_perplexity
from tts.errors import BackendError, ConfigError
from tts.evaluation.step_importance import (
    Sampled,
    Weighed,
    contrasts,
    effects,
    sampled,
    weighed,
)
from tts.evaluation.step_importance_plot import draw, picture
from tts.evaluation.step_importance_report import entries, markdown, notes, sheets
from tts.types import Problem

FACTOR = UNKNOWN / KNOWN
PROBLEMS = {name: Problem(name, prompt="47+6*8-29=") for name in "abcdefgh"}


def chain(text, *, problem="a", kind="right", arm="votes", answer="66"):
    return Sampled(arm, problem, kind, text, answer)


def made(*values, problem="a", kind="right", arm="votes"):
    """A chain whose steps have these kinds and values."""
    steps = {number: value for number, (_, value) in enumerate(values)}
    about = chain("", problem=problem, kind=kind, arm=arm)
    return Weighed(about, tuple(step for step, _ in values), steps)


async def weigh(chains, backend=None, **how):
    perplexity = read_perplexity(
        backend or Copier(), [Phrasing.of("\\boxed{{answer}}")], lambda _: None
    )
    return await weighed(chains, PROBLEMS, Reader(), perplexity, **how)


@pytest.fixture
def folder(tmp_path):
    pairs = [
        (record(name, ["66", None, "65"], arm=arm), tree(name, [DOUBTING, "", CHANGED], arm=arm))
        for name in "abcdefgh"
        for arm in ("votes", "one")
    ]
    return written(tmp_path / "run", [*pairs, (record("i", [None]), tree("i", ["<think>6"]))])


def test_problems_are_drawn_by_the_seed_the_same_in_all_arms(folder):
    found = sampled(folder, 3, 0)
    assert len(found) == 6
    by_arm = {arm: [c.problem_id for c in found if c.arm == arm] for arm in ("votes", "one")}
    assert by_arm["votes"] == by_arm["one"]
    assert sampled(folder, 3, 0) == found
    drawn = {tuple(c.problem_id for c in sampled(folder, 3, seed, "one")) for seed in range(20)}
    assert len(drawn) > 10
    assert {c.problem_id for c in sampled(folder, 3, 0)} < {
        c.problem_id for c in sampled(folder, 4, 0)
    }


def test_one_chain_with_an_answer_is_drawn_of_each_problem(folder):
    found = [c for seed in range(20) for c in sampled(folder, 50, seed, "votes")]
    assert len(found) == 20 * 8
    assert {(c.text, c.answer, c.kind) for c in found} == {
        (DOUBTING, "66", "right"),
        (CHANGED, "65", "wrong"),
    }


def test_a_run_without_answers_has_no_sample(tmp_path):
    folder = written(tmp_path / "run", [(record("a", [None]), tree("a", [DOUBTING]))])
    with pytest.raises(ConfigError, match="no chain that came to an answer"):
        sampled(folder, 5, 0)


async def test_steps_are_weighed_by_what_the_answer_loses_without_them():
    told = []
    corrected = CORRECTED.replace("47+19=66", "47+19=66 => 66")  # its value is nowhere known
    found = await weigh(
        [chain(TWO_WAYS), chain(CHANGED), chain(corrected)], told=lambda: told.append(1)
    )
    assert [each.kinds for each in found[:2]] == [
        ("plain", "plain", "plain", "change", "plain"),
        ("plain", "plain", "change", "plain"),
    ]
    assert found[0].importance == pytest.approx(dict.fromkeys(range(5), 1.0))  # found twice
    assert found[1].importance == pytest.approx({0: 1.0, 1: 1.0, 2: 1.0, 3: FACTOR})
    assert found[2].importance == pytest.approx(dict.fromkeys(range(5), 1.0))
    assert len(told) == 3


async def test_kinds_of_steps_can_be_chosen():
    backend = Copier()
    (found,) = await weigh([chain(DOUBTING)], backend, steps=("recheck",))
    assert set(found.importance) == {2, 4}
    assert len(backend.asked) == 1 + 2
    (none,) = await weigh([chain(DOUBTING)], backend, steps=("change",))
    assert none.importance == {} and len(backend.asked) == 3  # nothing was read in vain


async def test_chains_that_are_too_long_are_left_out():
    short = len(PROBLEMS["a"].prompt) + len(CHANGED) + 5
    found = await weigh([chain(TWO_WAYS), chain(CHANGED)], Copier(context=short))
    assert [each.chain.text for each in found] == [CHANGED]


async def test_a_fault_ends_all():
    class Broken(Copier):
        async def read(self, problem, trajectory, given, *, top=0):
            if problem.id == "b":
                raise BackendError("broken")
            self.asked.append(problem.id)
            await asyncio.sleep(3600)

    before = asyncio.all_tasks()
    with pytest.raises(BackendError, match="broken"):
        await weigh([chain(DOUBTING), chain(DOUBTING, problem="b")], Broken())
    assert asyncio.all_tasks() <= before


def test_shares_are_means_over_problems():
    first = made(("plain", 4.0), ("plain", 1.0), ("recheck", 0.5), ("recheck", 1.04))
    second = made(("plain", 1.0), ("recheck", 1.0), problem="b")
    third = made(("plain", 2.0), ("change", 2.0), problem="c", kind="wrong")
    found = {(e.step, e.kind): e for e in effects([first, second, third])}
    assert list(found) == [
        ("plain", "right"), ("plain", "wrong"), ("recheck", "right"), ("change", "wrong"),
    ]  # fmt: skip
    plain, recheck = found["plain", "right"], found["recheck", "right"]
    assert (plain.steps, plain.problems) == (3, 2)
    assert (plain.hinders.mean, plain.idle.mean, plain.helps.mean) == (0.0, 0.75, 0.25)
    assert plain.mean.mean == pytest.approx(2**0.5)  # the mean of logs 2 and 1
    assert (recheck.hinders.mean, recheck.idle.mean, recheck.helps.mean) == (0.25, 0.75, 0.0)
    assert plain.mean.low == pytest.approx(1.0) and plain.mean.high == pytest.approx(2.0)
    assert found["change", "wrong"].mean.mean == pytest.approx(2.0)


def test_plain_steps_are_held_against_others_of_the_same_chains():
    both = made(("plain", 4.0), ("plain", 1.0), ("recheck", 0.5))
    other = made(("plain", 1.0), ("recheck", 2.0), problem="b")
    alone = made(("plain", 100.0), problem="c")
    (found,) = contrasts([both, other, alone])
    assert (found.step, found.problems) == ("recheck", 2)
    assert found.helps.mean == pytest.approx((0.5 - 1.0) / 2)
    assert found.ratio.mean == pytest.approx((2.0 / 0.5 * 1.0 / 2.0) ** 0.5)


def test_the_table_has_a_row_for_each_kind_of_step_and_chain():
    chains = [
        made(("plain", 4.0), ("recheck", 1.0)),
        made(("plain", 4.0), ("recheck", 0.2), problem="b", kind="wrong"),
        made(("plain", 1.0), arm="other"),
    ]
    found, against = effects(chains), contrasts(chains)
    votes, other = sheets(found)
    assert [line[0] for line in votes.lines] == [
        "plain steps, right", "plain steps, wrong", "re-checks, right", "re-checks, wrong",
    ]  # fmt: skip
    assert votes.lines[3][1:] == ("1", "1", "100", "0", "0", "0.2")
    assert len(other.lines) == 1
    said = notes(found, against, "copier", 2)
    assert "as copier finds it" in said[0] and "votes: plain steps help 100 points" in said[1]
    assert "2 chains were left out" in said[-1]
    text = markdown(found, said)
    assert "### votes" in text and "importance.png" in text and said[1] in text
    values = entries(found, against, chains)
    assert values["chains"][1]["steps"] == [
        {"kind": "plain", "importance": 4.0},
        {"kind": "recheck", "importance": 0.2},
    ]
    assert values["effects"][0]["helps"]["mean"] == 1.0


def test_chains_without_reflections_are_said_to_be_such():
    said = notes(effects([made(("plain", 4.0))]), [], "copier", 0)
    assert "No step that was looked at re-checks" in said[-1]


def test_the_picture_has_three_panels_an_arm(tmp_path):
    chains = [
        made(("plain", 4000.0), ("plain", 1.0), ("recheck", 1.0)),
        made(("plain", 1e-9), problem="b", kind="wrong"),
        made(("plain", 1.0), arm="other"),
    ]
    figure = picture(chains)
    assert len(figure.axes) == 6
    plain, recheck, change = figure.axes[:3]
    heights = [patch.get_data().values.sum() for patch in plain.patches[1:]]
    assert heights == pytest.approx([100, 100])  # also what lies beyond the scale
    assert [text.get_text() for text in plain.get_legend().get_texts()] == [
        "right (2)",
        "wrong (1)",
    ]
    assert len(recheck.patches) == 2 and len(change.patches) == 1
    draw(chains, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "picture.png.part").exists()
