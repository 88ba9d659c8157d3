"""Grades of a language model: what is asked, how the reply is read, what it costs."""

from __future__ import annotations

import math

import pytest

import tts
from tests.strategies.pair import LARGE, Writer, steps
from tests.verifiers.asked import CHAT, PLAIN, Teacher, answer, logs
from tts.backends.simulated import Step
from tts.errors import CapabilityMissing, ConfigError, VerifierError
from tts.solve import Setup
from tts.strategies import SpecReason
from tts.testing import check_verifier
from tts.types import Capability
from tts.verifiers import Judge

GREEDY = Judge(reading="greedy")
STEP = Judge(subject="step", reading="greedy")


async def grade(verifier, teacher, text="2+2=4\n\n", problem=CHAT):
    (score,) = await verifier.score(problem, [answer(text)], teacher.context)
    assert score.scale == "probability"
    return score.raw * 9


def saying(said, **how):
    return Teacher(lambda text, seed: said, **how)


@pytest.mark.parametrize(("text", "points"), [("7", 7), (" 8", 8), ("0", 0)])
async def test_greedily_the_likeliest_token_counts(text, points):
    assert await grade(GREEDY, saying(text)) == pytest.approx(points)


async def test_the_expectation_is_over_the_digits_among_the_likeliest_tokens():
    tops = {7: math.log(0.3), 8: math.log(0.1), 9: math.log(0.4), 10: -3.0, 11: -3.0}
    assert await grade(Judge(), saying(tops)) == pytest.approx((0.3 * 7 + 0.1 * 8) / 0.4)


async def test_words_are_labels_too_from_the_worst_to_the_best():
    judge = Judge(labels=["no", "yes"])
    (score,) = await judge.score(
        CHAT, [answer("x")], (teacher := saying(logs(yes=0.6, No=0.2, I=0.2))).context
    )
    assert score.raw == pytest.approx(0.75)
    ((problem, _),) = teacher.asked
    assert problem.messages[-1].content.endswith("from the worst to the best: no, yes.")


@pytest.mark.parametrize("text", ["I", "10", "²", ""])
async def test_greedily_what_is_no_grade_is_an_error_that_says_what_was_said(text):
    with pytest.raises(VerifierError, match=f"asked for one of 0, 1, .* and said {text!r}") as said:
        await grade(GREEDY, saying(text))
    assert "verifier.question" in said.value.hint


async def test_a_judge_that_would_rather_write_prose_is_an_error():
    prose = logs(I=0.96) | {7: math.log(0.04)}
    with pytest.raises(VerifierError, match=r"said 'I', with 4\.0% of the probability on the wan"):
        await grade(Judge(), saying(prose))
    assert await grade(Judge(floor=0.03), saying(prose)) == pytest.approx(7)
    with pytest.raises(VerifierError, match=r"0\.0%"):
        await grade(Judge(floor=0), saying(logs(I=0.9)))


async def test_a_backend_that_does_not_know_its_tokens_is_an_error_and_no_grade():
    with pytest.raises(VerifierError, match="does not know what its tokens are"):
        await grade(Judge(), saying({0: -0.1}, words={}))


@pytest.mark.parametrize("subject", ["answer", "step"])
async def test_a_conversation_goes_on_behind_the_work(subject):
    teacher = saying("7")
    judge = Judge(subject=subject, reading="greedy")
    await grade(judge, teacher, "<think>2+2=4</think>\n\n")
    ((problem, node),) = teacher.asked
    assert [m.role for m in problem.messages] == ["system", "user", "assistant", "user"]
    assert problem.messages[:2] == CHAT.messages
    assert problem.messages[2].content == "<think>2+2=4\n\n"  # templates hide what was closed
    assert "from 0 (wrong) to 9" in problem.messages[3].content
    assert ("last step" in problem.messages[3].content) == (subject == "step") == judge.partial
    assert node.text.endswith("the grade ")


async def test_a_plain_prompt_is_asked_in_the_text():
    teacher = saying("7")
    await grade(STEP, teacher, problem=PLAIN)
    ((problem, node),) = teacher.asked
    assert problem is PLAIN
    assert node.text.startswith("2+2=4\n\n") and node.text.endswith("the grade ")


async def test_the_words_can_be_ones_own():
    teacher = saying("7")
    await grade(Judge(reading="greedy", question="Good?", lead="Grade: "), teacher)
    ((problem, node),) = teacher.asked
    assert problem.messages[-1].content.startswith("Good? Reply with one digit")
    assert node.text == "Grade: "


@pytest.mark.parametrize("problem", [CHAT, PLAIN], ids=["chat", "plain"])
@pytest.mark.parametrize("judge", [Judge(), STEP], ids=["answer", "step"])
async def test_the_contract(problem, judge):
    tops = {7: math.log(0.3), 8: math.log(0.6)}
    teacher = Teacher(lambda text, seed: {**tops, 7: -len(text) / 99})
    nodes = [answer("step 1\n\n"), answer("step 1\n\nstep 2\n\n"), answer("x")]
    await check_verifier(judge, problem, nodes, teacher.context)


async def test_in_spec_reason_the_large_model_is_asked_and_pays_as_a_verifier():
    large = Writer(steps("l", 6, 8), info=LARGE).backend()
    small = Writer(steps("s", 6, 8)).backend()
    write = large.simulate

    def simulate(problem, node, seed):
        grading = node.text.endswith("the grade ")
        return Step("9" if "s0" in node.text else "2", 1) if grading else write(problem, node, seed)

    large.simulate = simulate
    result = await tts.solve(
        PLAIN, strategy=SpecReason(threshold=7), backend=large, draft=small, verifier=STEP
    )
    assert result.details["grades"] == pytest.approx([9, 9, 9])
    assert result.usage.verifier_calls == 3
    assert result.usage.verifier_tokens > 3 * 10
    assert result.usage.completion_tokens == result.usage.draft_tokens


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"reading": "loud"}, r"verifier\.reading is 'loud'"),
        ({"subject": "style"}, r"verifier\.subject is 'style'"),
        ({"labels": ["yes"]}, r"verifier\.labels is \['yes'\]"),
        ({"labels": ["yes", " Yes"]}, "two different words"),
        ({"labels": ["no", " "]}, "two different words"),
        ({"floor": 1.5}, r"verifier\.floor is 1\.5"),
    ],
)
def test_what_cannot_be_is_refused(settings, word):
    with pytest.raises(ConfigError, match=word):
        Judge(**settings)


def test_what_it_needs_is_named():
    large, small = Writer([]).backend(), Writer([]).backend()
    for backend, reading, word in (
        (Writer([]).backend(capabilities=frozenset()), "greedy", "continuation"),
        (Writer([]).backend(capabilities=frozenset({Capability.CONTINUATION})), "expectation",
         "logprobs"),
    ):  # fmt: skip
        with pytest.raises(CapabilityMissing, match=f"Judge needs '{word}'"):
            Setup(SpecReason(), backend, verifier=Judge("step", reading), draft=small)
    Setup(SpecReason(), large, verifier=STEP, draft=small)
    with pytest.raises(CapabilityMissing, match="judges whole ones only"):
        Setup(SpecReason(), large, verifier=GREEDY, draft=small)
