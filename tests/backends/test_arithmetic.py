"""The simulated model of arithmetic: a backend like any other, as accurate as it is told to be."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tts
from tts.backends.arithmetic import simulated_arithmetic, work_out
from tts.errors import ConfigError
from tts.tasks import MiniTask
from tts.testing import check_backend
from tts.types import Problem

PROBLEM = Problem.chat("p", "47+6*8-29=")


@given(a=st.integers(0, 99), b=st.integers(0, 99), c=st.integers(0, 99))
def test_it_works_out_the_last_expression(a, b, c):
    assert work_out(f"{a}+{b}*{c}=") == a + b * c
    assert work_out(f"What is 3 - 2?\n\nSolve {a} - {b} + {c} =") == a - b + c


def test_other_problems_get_a_number_all_the_same():
    assert work_out("What is love?") == work_out("What is love?")
    assert work_out("What is love?") != work_out("What is truth?")


async def test_it_keeps_the_contract_of_backends():
    await check_backend(simulated_arithmetic(), PROBLEM)


@pytest.mark.parametrize("accuracy", [0.3, 0.8])
async def test_it_is_as_accurate_as_it_is_told_to_be(accuracy):
    task = MiniTask(n_problems=600)
    backend = simulated_arithmetic(accuracy)
    golds = {item.problem.id: item.gold for item in task}
    right = tokens = 0
    async for result in tts.solve_all(task.problems, strategy=tts.Greedy(), backend=backend):
        right += result.answer == golds[result.problem_id]
        tokens += result.usage.completion_tokens
    assert right / 600 == pytest.approx(accuracy, abs=0.06)
    assert tokens / 600 == pytest.approx(80, rel=0.05)


async def test_it_states_its_result_when_it_is_made_to():
    budget = tts.Budget(completion_tokens=30, landing_tokens=10)
    result = await tts.solve(
        PROBLEM,
        strategy=tts.SelfConsistency(n=2),
        backend=simulated_arithmetic(accuracy=1.0, spread=0.0),
        budget=budget,
    )
    assert (result.status, result.answer) == ("exhausted", "66")


async def test_it_takes_real_time():
    backend = simulated_arithmetic(seconds_per_token=0.001, tokens=100)
    started = time.monotonic()
    result = await tts.solve(PROBLEM, strategy=tts.Greedy(), backend=backend)
    assert time.monotonic() - started >= 0.001 * result.usage.completion_tokens


@pytest.mark.parametrize("bad", [{"accuracy": 1.5}, {"tokens": 20}, {"slots": 0}, {"spread": -1}])
def test_arguments_outside_their_range(bad):
    with pytest.raises(ConfigError, match=rf"backend\.{next(iter(bad))} is"):
        simulated_arithmetic(**bad)
