"""Checks in words, and the verdicts that they end in."""

from __future__ import annotations

import random

import pytest

import tts
from tests.verifiers.asked import CHAT, PLAIN, Teacher, answer
from tts.backends.simulated import SimulatedBackend, Step
from tts.errors import ConfigError, VerifierError
from tts.testing import FreeContext, check_verifier
from tts.types import Capability
from tts.verifiers import Generative


class Unable:
    """A backend that cannot continue an answer."""

    def __init__(self, inner):
        self.inner = inner

    def __getattr__(self, name):
        return getattr(self.inner, name)

    @property
    def capabilities(self):
        return self.inner.capabilities - {Capability.CONTINUATION}


def in_turn(*checks):
    """A judge that says one after the other."""
    left = list(checks)
    return Teacher(lambda text, seed: left.pop(0))


async def share(teacher, **settings):
    verdicts = Generative(votes=4, **settings)
    (score,) = await verdicts.score(CHAT, [answer("1+1=2")], teacher.context)
    assert score.scale == "probability"
    return score.raw


async def test_the_score_is_the_share_of_yes():
    teacher = in_turn("Fine.\nVerdict: yes", "**Verdict:** No.", "VERDICT - YES", "verdict: yes")
    assert await share(teacher) == 0.75


async def test_what_cannot_be_read_counts_for_nobody():
    teacher = in_turn("Verdict: yes", "Yes, I think so", "Verdict: no", "Verdict: yesterday")
    assert await share(teacher, closing="") == 0.5


async def test_the_last_verdict_counts():
    teacher = in_turn(*["I first thought 'Verdict: no'. But no: Verdict: yes"] * 4)
    assert await share(teacher) == 1


async def test_if_nothing_can_be_read_it_is_an_error():
    with pytest.raises(
        VerifierError, match=r"None of 4 checks .* ended in 'So be it\\n\\nVerdict:So be it'"
    ):
        await share(in_turn(*["So be it"] * 8))


async def test_a_check_without_a_verdict_is_closed():
    def says(text, seed):
        return " yes." if text.endswith("It looks fine.\n\nVerdict:") else "It looks fine."

    teacher = Teacher(says)
    assert await share(teacher) == 1
    assert len(teacher.asked) == 8
    *_, closed = (node for _, node in teacher.asked if node.text)
    assert all(segment.origin == "injected" for segment in closed.segments())


async def test_a_backend_that_cannot_continue_leaves_it_open():
    teacher = Teacher(lambda text, seed: "Verdict: yes" if seed % 2 else "It looks fine.")
    backend = teacher.backend
    teacher.backend = Unable(backend)
    score = await share(teacher)
    assert score == 1 and len(teacher.asked) == 4


async def test_other_verdicts_can_be_read():
    teacher = in_turn("[[correct]]", "[[wrong]]", "[[correct]]", "[[wrong]]")
    assert await share(teacher, verdict=r"\[\[(?:(?P<yes>correct)|wrong)\]\]") == 0.5


async def test_each_check_is_a_draw_of_its_own_that_comes_again():
    seeds = []

    def says(text, seed):
        seeds.append(seed)
        return "Verdict: yes"

    for text in ("1+1=2", "1+1=2", "1+1=3"):
        await Generative(votes=3).score(CHAT, [answer(text)], Teacher(says).context)
    assert seeds[:3] == seeds[3:6] and len(set(seeds)) == 6


async def test_the_question_stands_behind_the_answer():
    for problem in (CHAT, PLAIN):
        for lead in ("", "Let us see."):
            teacher = Teacher(lambda text, seed: "Verdict: no")
            verifier = Generative(votes=1, lead=lead)
            await verifier.score(problem, [answer("1+1=2")], teacher.context)
            ((asked, node),) = teacher.asked
            whole = "\n".join([asked.prompt, *(m.content for m in asked.messages), node.text])
            assert whole.index("1+1=2") < whole.index("step by step") and whole.endswith(lead)
            assert verifier.requires == ({Capability.CONTINUATION} if lead else set())


@pytest.mark.parametrize("problem", [CHAT, PLAIN], ids=["chat", "plain"])
async def test_the_contract(problem):
    def says(text, seed):
        return random.Random(seed).choice(["Verdict: yes", "Verdict: no"])

    nodes = [answer("1+1=2"), answer("1+1=3, as anybody can see"), answer("x")]
    await check_verifier(Generative(votes=3), problem, nodes, Teacher(says).context)


async def test_its_bound_holds_and_the_checks_are_charged_to_the_verifier():
    def simulate(problem, node, seed):
        if "Check the solution" in node.text:
            return Step("Let me see. " * 3 + "Verdict: yes", 20)
        return Step("\\boxed{2}", 5)

    backend = SimulatedBackend(simulate)
    verifier = Generative(votes=3, max_tokens=20, closing="")
    result = await tts.solve(PLAIN, strategy=tts.BestOfN(n=2), backend=backend, verifier=verifier)
    assert result.answer == "2" and result.best.score.raw == 1
    assert result.usage.verifier_calls == 2
    assert result.usage.completion_tokens == 10
    each = verifier.bound(PLAIN, 5, FreeContext(backend)).verifier_tokens
    assert 2 * 3 * 20 < result.usage.verifier_tokens <= 2 * each


async def test_the_bound_holds_when_every_check_is_closed():
    def simulate(problem, node, seed):
        if node.text.endswith("Verdict:"):
            return Step(" yes", 1)
        if "Check the solution" in node.text:
            return Step("So be it.", 20)
        return Step("\\boxed{2}", 5)

    backend = SimulatedBackend(simulate)
    verifier = Generative(votes=3, max_tokens=20)
    result = await tts.solve(PLAIN, strategy=tts.BestOfN(n=2), backend=backend, verifier=verifier)
    assert result.best.score.raw == 1
    each = verifier.bound(PLAIN, 5, FreeContext(backend)).verifier_tokens
    assert 2 * 3 * 21 < result.usage.verifier_tokens <= 2 * each


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"votes": 0}, r"verifier\.votes is 0"),
        ({"max_tokens": 0}, r"verifier\.max_tokens is 0"),
        ({"temperature": 0.0}, "would all be the same"),
        ({"temperature": 3.0}, r"verifier\.temperature is 3"),
        ({"verdict": "("}, "no regular expression"),
        ({"verdict": "(yes|no)"}, "no group named yes"),
    ],
)
def test_what_cannot_be_is_refused(settings, word):
    with pytest.raises(ConfigError, match=word):
        Generative(**settings)


def test_a_single_check_may_be_greedy():
    Generative(votes=1, temperature=0.0)
