"""Grades of a language model: what is asked, how the reply is read, what it costs."""

from __future__ import annotations

import math

import pytest

import tts
from tests.strategies.pair import LARGE, Writer, steps
from tts.backends.simulated import SimulatedBackend, Step
from tts.errors import CapabilityMissing, ConfigError, VerifierError
from tts.solve import Setup
from tts.strategies import SpecReason
from tts.testing import FreeContext, World, check_verifier
from tts.types import Capability, Problem, Segment, Trajectory
from tts.verifiers import Grade

CHAT = Problem.chat("p", "What is 1+1?", system="Be brief.")
PLAIN = Problem("p", prompt="1+1=")
WORDS = {7: "7", 8: " 8", 9: "I", 10: "10", 11: "²"}


def answer(text):
    return Trajectory.root().extend(Segment(text), child=0, clock=len(text))


class Teacher:
    """Replies with a token, and remembers what was asked."""

    def __init__(self, text="7", tops=None, words=WORDS):
        self.text, self.tops, self.asked = text, tops, []
        self.backend = SimulatedBackend(self._simulate, words=words)

    def _simulate(self, problem, node, seed):
        self.asked.append((problem, node))
        return Step(self.text, 1, top_logprobs=self.tops)

    async def grade(self, verifier, text="2+2=4\n\n", problem=CHAT):
        (score,) = await verifier.score(problem, [answer(text)], FreeContext(self.backend))
        assert score.scale == "probability"
        return score.raw * 9


@pytest.mark.parametrize(("text", "grade"), [("7", 7), (" 8", 8), ("0", 0), ("I", 0), ("10", 0)])
async def test_the_likeliest_token_counts_if_it_is_a_digit(text, grade):
    assert await Teacher(text).grade(Grade()) == pytest.approx(grade)


async def test_the_expectation_is_over_the_digits_among_the_likeliest_tokens():
    tops = {7: math.log(0.3), 8: math.log(0.1), 9: math.log(0.4), 10: -3.0, 11: -3.0}
    found = await Teacher(tops=tops).grade(Grade(reading="expectation"))
    assert found == pytest.approx((0.3 * 7 + 0.1 * 8) / 0.4)
    assert await Teacher(tops={9: -0.1}).grade(Grade(reading="expectation")) == 0


async def test_a_backend_that_does_not_know_its_tokens_is_an_error_and_no_grade():
    with pytest.raises(VerifierError, match="does not know what its tokens are"):
        await Teacher(words={}).grade(Grade(reading="expectation"))


async def test_a_conversation_goes_on_behind_the_work():
    teacher = Teacher()
    await teacher.grade(Grade(), "<think>2+2=4</think>\n\n")
    ((problem, node),) = teacher.asked
    assert [m.role for m in problem.messages] == ["system", "user", "assistant", "user"]
    assert problem.messages[:2] == CHAT.messages
    assert problem.messages[2].content == "<think>2+2=4\n\n"  # templates hide what was closed
    assert "0" in problem.messages[3].content and "9" in problem.messages[3].content
    assert node.text == Grade().lead


async def test_a_plain_prompt_is_asked_in_the_text():
    teacher = Teacher()
    await teacher.grade(Grade(), problem=PLAIN)
    ((problem, node),) = teacher.asked
    assert problem is PLAIN
    assert node.text.startswith("2+2=4\n\n") and node.text.endswith(Grade().lead)


@pytest.mark.parametrize("problem", [CHAT, PLAIN], ids=["chat", "plain"])
async def test_the_contract(problem):
    nodes = [answer("step 1\n\n"), answer("step 1\n\nstep 2\n\n"), answer("x")]
    await check_verifier(Grade(), problem, nodes, FreeContext(World().backend()))


async def test_in_spec_reason_the_large_model_is_asked_and_pays_as_a_verifier():
    large = Writer(steps("l", 6, 8), info=LARGE).backend()
    small = Writer(steps("s", 6, 8)).backend()
    write = large.simulate

    def simulate(problem, node, seed):
        grading = node.text.endswith(Grade().lead)
        return Step("9" if "s0" in node.text else "2", 1) if grading else write(problem, node, seed)

    large.simulate = simulate
    result = await tts.solve(
        PLAIN, strategy=SpecReason(threshold=7), backend=large, draft=small, verifier=Grade()
    )
    assert result.details["grades"] == pytest.approx([9, 9, 9])
    assert result.usage.verifier_calls == 3
    assert result.usage.verifier_tokens > 3 * 10
    assert result.usage.completion_tokens == result.usage.draft_tokens


def test_what_it_needs_is_named():
    with pytest.raises(ConfigError, match=r"verifier\.reading is 'loud'"):
        Grade(reading="loud")
    large, small = Writer([]).backend(), Writer([]).backend()
    for backend, reading, word in (
        (Writer([]).backend(capabilities=frozenset()), "greedy", "continuation"),
        (Writer([]).backend(capabilities=frozenset({Capability.CONTINUATION})), "expectation",
         "logprobs"),
    ):  # fmt: skip
        with pytest.raises(CapabilityMissing, match=f"Grade needs '{word}'"):
            Setup(SpecReason(), backend, verifier=Grade(reading=reading), draft=small)
    Setup(SpecReason(), large, verifier=Grade(), draft=small)
