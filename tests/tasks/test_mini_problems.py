"""The generator of chained arithmetic: exact values, disjoint splits, solutions that hold."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tts.tasks.mini_problems import (
    LEVELS,
    LIMIT,
    STEP_END,
    THEREFORE,
    MiniProblem,
    Split,
    generate,
    split_of,
)

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
problems = st.builds(
    generate, st.sampled_from(sorted(LEVELS)), st.integers(0, 10_000), st.sampled_from(SPLITS)
)


def value(expression: str) -> int:
    """Works out a sum of terms and products of two factors, independently of the generator."""
    total = 0
    for sign, first, second in re.findall(r"([+-])(\d+)(?:\*(\d+))?", "+" + expression):
        term = int(first) * int(second or 1)
        total += term if sign == "+" else -term
    return total


@given(problems)
def test_every_step_keeps_the_value_and_the_box_holds_it(problem: MiniProblem) -> None:
    *steps, box = problem.solution.split(STEP_END)
    expected = value(problem.prompt.removesuffix("="))
    for step in steps:
        operation, _, left = step.partition(THEREFORE)
        expression, result = operation.split("=")
        assert value(expression) == int(result)
        assert 0 <= int(result) < LIMIT
        assert value(left or result) == expected
    assert box == rf"\boxed{{{expected}}}"
    assert problem.answer == str(expected)


@given(problems)
def test_a_solution_has_one_step_an_operation(problem: MiniProblem) -> None:
    operations = len(re.findall(r"[-+*]", problem.prompt))
    level = LEVELS[problem.level]
    assert operations == level.terms - 1 + level.products
    assert len(problem.solution.split(STEP_END)) == operations + 1


@given(problems)
def test_the_prompt_decides_the_split(problem: MiniProblem) -> None:
    assert problem.id.split("-")[1] == split_of(problem.prompt)


@pytest.mark.parametrize("level", LEVELS)
def test_splits_share_no_prompt(level: int) -> None:
    prompts = {split: {generate(level, i, split).prompt for i in range(200)} for split in SPLITS}
    assert not prompts["train"] & prompts["validation"]
    assert not prompts["train"] & prompts["test"]
    assert not prompts["validation"] & prompts["test"]


@settings(max_examples=20)
@given(problems)
def test_equal_arguments_give_equal_problems(problem: MiniProblem) -> None:
    _, split, level, index = problem.id.split("-")
    splits: dict[str, Split] = {name: name for name in SPLITS}
    assert generate(int(level), int(index), splits[split]) == problem


def test_a_known_problem_stays_as_it_is() -> None:
    """Published figures refer to these problems, so a change here makes them void."""
    problem = generate(2, 3, "test")
    assert problem == MiniProblem(
        id="mini-test-2-3",
        level=2,
        prompt="63+177-62=",
        answer="178",
        solution="63+177=240 => 240-62\n\n240-62=178\n\n\\boxed{178}",
    )


def test_solutions_differ_in_their_order() -> None:
    """Operations come in any order: some solutions do not begin with the leftmost one."""
    first = [generate(2, index, "train") for index in range(50)]
    leftmost = [p.prompt.startswith(p.solution.split("=")[0]) for p in first]
    assert any(leftmost) and not all(leftmost)


@pytest.mark.parametrize(("level", "index"), [(0, 0), (max(LEVELS) + 1, 0), (1, -1)])
def test_there_are_no_other_problems(level: int, index: int) -> None:
    with pytest.raises(ValueError, match="no problem"):
        generate(level, index, "test")
