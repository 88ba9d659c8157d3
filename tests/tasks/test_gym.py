"""Generators of reasoning-gym make problems, and their scorers grade them, in a closed process."""

from __future__ import annotations

import pytest

from tts.errors import ConfigError, GradingError
from tts.tasks import DatasetTask, ExactAnswers, Fields, GymScore, Item, ReasoningGym, gym
from tts.types import Problem

pytest.importorskip("reasoning_gym")
FIELDS = Fields(reference=("entry",))
ANSWERS = ExactAnswers(landing="\n\n<answer>", ignore_case=False, ignore_punctuation=False)


@pytest.fixture(scope="module", autouse=True)
def _workers():
    """No process waits for the end of the suite."""
    yield
    gym._workers.close()


def made(name, size=4, grader=None, **config):
    source = ReasoningGym(size=size, seed=7, config=config)
    return DatasetTask(name, source=source, fields=FIELDS, answers=ANSWERS,
                       grader=grader or GymScore())  # fmt: skip


@pytest.mark.parametrize(
    "name",
    ["leg_counting", "chain_sum", "spell_backward", "number_sorting", "basic_arithmetic",
     "string_insertion", "n_queens", "zebra_puzzles", "simple_equations", "acre"],
)  # fmt: skip
async def test_answers_of_the_generator_are_right(name):
    task = made(name)
    assert len(task) == 4
    assert task.digest == made(name).digest
    for item in task:
        assert await task.grade(item.problem.id, item.gold), item
        assert not await task.grade(item.problem.id, "none of this, surely")
        assert item.gold not in repr(item.problem.metadata)


def test_settings_reach_the_generator():
    few = made("leg_counting", min_animals=1, max_animals=1)
    many = made("leg_counting", min_animals=9, max_animals=9)
    length = [sum(len(p.messages[0].content) for p in task.problems) for task in (few, many)]
    assert length[0] < length[1]
    assert few.problems[0].id == "leg_counting-0"


async def test_problems_without_one_right_answer_are_scored():
    task = made("rush_hour", size=2)
    assert "whatever rush_hour scores" in task.items[0].gold
    assert not await task.grade("rush_hour-0", task.items[0].gold)


async def test_part_of_an_answer_may_be_enough():
    item = made("number_sorting").items[0]
    wrong = "a list"
    points = await GymScore().score(wrong, item)
    assert 0 <= points < 1
    assert await GymScore().score(item.gold, item) == 1
    assert await GymScore(threshold=1e-9).right(wrong, item) == (points > 0)


async def test_no_answer_is_evaluated(tmp_path):
    harm = f"__import__('pathlib').Path({str(tmp_path / 'harm')!r}).write_text('x')"
    for name in ("string_insertion", "spiral_matrix", "binary_matrix", "n_queens",
                 "simple_equations", "polynomial_equations"):  # fmt: skip
        task = made(name, size=1)
        for answer in (harm, f"[{harm}]"):
            assert not await task.grade(f"{name}-0", answer)
    assert not list(tmp_path.iterdir())


async def test_a_scorer_that_hangs_is_ended(monkeypatch):
    item = made("simple_equations", size=1).items[0]
    assert await GymScore(seconds=20).right(item.gold, item)
    late = GymScore(seconds=1)
    assert not await late.right("9**9**9**9", item)
    assert await GymScore(seconds=20).right(item.gold, item)
    assert not await late.right("1" * 10_000, item)


async def test_an_entry_that_cannot_be_made_is_a_fault():
    entry = {"generator": "no_such", "settings": {}, "index": 0}
    item = Item(Problem("p", prompt="?"), "1", reference={"entry": entry})
    with pytest.raises(GradingError, match=r"cannot score 'p': .*no generator 'no_such'"):
        await GymScore().right("1", item)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: made("leg_countin"), "no generator 'leg_countin'. Did you mean 'leg_counting'"),
        (lambda: made("leg_counting", legs=3), "settings of the generator leg_counting cannot"),
        (lambda: made("leg_counting", size=0), "settings of the generator|holds no problems"),
        (lambda: GymScore(threshold=0), "threshold is 0"),
        (lambda: GymScore(seconds=0), "seconds is 0"),
    ],
)
def test_bad_settings(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
