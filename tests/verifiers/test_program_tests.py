"""Programs and the tests that a problem shows."""

from __future__ import annotations

import json

import pytest

import tts
from tests.sandbox.walls import PATIENT, needs_sandbox
from tests.verifiers.asked import answer
from tts.backends.simulated import SimulatedBackend, Step
from tts.errors import ConfigError, VerifierError
from tts.sandbox import Limits, sandbox
from tts.tasks import CodeTask, Fields, ProgramAnswers
from tts.testing import FreeContext, World, check_verifier
from tts.types import Problem
from tts.verifiers import ProgramTests

TESTS = ["assert double(2) == 4", "assert double(0) == 0", "assert double(-1) == -2"]
SHOWN = Problem("p", prompt="Double x.", metadata={"tests": TESTS})
RIGHT = "```python\ndef double(x):\n    return 2 * x\n```"
SQUARE = "```python\ndef double(x):\n    return x * x\n```"  # right for 0 and 2 alone
STUCK = "```python\ndef double(x):\n    while x < 0: pass\n    return 2 * x\n```"
EXIT = "```python\nraise SystemExit(0)\n```"


def context():
    return FreeContext(World().backend(), ProgramAnswers())


async def share(text, problem=SHOWN, limits=PATIENT, **settings):
    (score,) = await ProgramTests(limits=limits, **settings).score(
        problem, [answer(text)], context()
    )
    assert score.scale == "probability"
    return score.raw


@needs_sandbox
@pytest.mark.parametrize(
    ("text", "passed"),
    [(RIGHT, 3), (SQUARE, 2), (EXIT, 0), ("I do not know.", 0), ("```python\ndouble = 2\n```", 0)],
)
async def test_the_score_is_the_share_of_tests_that_pass(text, passed):
    assert await share(text) == pytest.approx(passed / 3)


@needs_sandbox
async def test_a_test_that_never_ends_fails_alone():
    assert await share(STUCK, limits=Limits(seconds=5)) == pytest.approx(2 / 3)


@needs_sandbox
async def test_one_program_of_tests_passes_as_a_whole():
    problem = Problem("p", prompt="x", metadata={"public": "\n".join(TESTS)})
    assert await share(RIGHT, problem, tests="public") == 1
    assert await share(SQUARE, problem, tests="public") == 0


@needs_sandbox
async def test_an_answer_may_continue_the_prompt_and_be_checked_by_name():
    metadata = {
        "start": "def double(x):\n",
        "name": "double",
        "tests": "def check(f):\n    assert f(3) == 6",
    }
    problem = Problem("p", prompt="x", metadata=metadata)
    settings = {"prompt": "start", "entry_point": "name"}
    assert await share("    return 2 * x\n", problem, **settings) == 1
    assert await share("    return 3 * x\n", problem, **settings) == 0


@needs_sandbox
async def test_the_contract():
    texts = [RIGHT, SQUARE, "Nothing."]
    await check_verifier(ProgramTests(limits=PATIENT), SHOWN, [answer(t) for t in texts], context())


@needs_sandbox
@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({}, r"Problem 'p' has no field 'tests'.*task\.fields\.metadata=\[tests\]"),
        ({"tests": []}, "holds no tests"),
        ({"tests": 3}, "holds no tests"),
        ({"tests": ["x", 3]}, "holds no tests"),
    ],
)
async def test_problems_without_tests_are_refused_before_anything_is_spent(metadata, said):
    problem = Problem("p", prompt="x", metadata=metadata)
    with pytest.raises(ConfigError, match=said):
        ProgramTests().bound(problem, 10, context())
    with pytest.raises(ConfigError, match=said):
        await ProgramTests().score(problem, [answer(RIGHT)], context())


@needs_sandbox
async def test_a_sandbox_that_does_not_work_is_a_fault_and_no_score():
    with pytest.raises(VerifierError, match="does not start in the sandbox"):
        await share(RIGHT, limits=Limits(seconds=1e-3))


def test_without_a_sandbox_it_cannot_be_made(monkeypatch):
    monkeypatch.setattr(sandbox, "fault_of_machine", lambda: ("bwrap is not installed", "Do."))
    with pytest.raises(ConfigError, match="bwrap is not installed"):
        ProgramTests()


@needs_sandbox
async def test_best_of_n_by_visible_tests_solves_a_task(tmp_path):
    path = tmp_path / "m.jsonl"
    row = {"text": "Double x.", "code": "x", "tests": TESTS[:2], "test": TESTS}
    path.write_text(json.dumps(row) + "\n")
    fields = Fields("text", "code", reference=["test"], metadata=["tests"])
    task = CodeTask(path, fields=fields, allow_code_execution=True, limits=PATIENT)

    def simulate(problem, node, seed):
        return Step(RIGHT if seed % 4 == 0 else EXIT, 9)

    result = await tts.solve(
        task.problems[0],
        strategy=tts.BestOfN(n=8),
        backend=SimulatedBackend(simulate),
        verifier=ProgramTests(limits=PATIENT),
        answers=task.answers,
    )
    assert result.best.score.raw == 1 and result.usage.verifier_calls == 8
    assert await task.grade("m-0", result.answer)
