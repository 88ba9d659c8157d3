"""Solutions in words against programs of them."""

from __future__ import annotations

import pytest

import tts
from tests.sandbox.walls import PATIENT, needs_sandbox
from tests.verifiers.asked import CHAT, PLAIN, Teacher, answer
from tts.backends.simulated import SimulatedBackend, Step
from tts.errors import ConfigError, VerifierError
from tts.sandbox import Limits, sandbox
from tts.testing import FreeContext, check_verifier
from tts.types import Capability
from tts.verifiers import ProgramAgreement

pytestmark = needs_sandbox
SUM = "2 apples and 3 make 5. \\boxed{5}"


def program(*lines):
    return "Here it is:\n```python\n" + "\n".join(lines) + "\n```\nIt prints the answer."


async def agreement(reply, text=SUM, **settings):
    verifier = ProgramAgreement(**{"broken": 0.25, "limits": PATIENT, **settings})
    context = Teacher(lambda asked, seed: reply).context
    (score,) = await verifier.score(CHAT, [answer(text)], context)
    assert score.scale == "probability"
    return score.raw


@pytest.mark.parametrize(
    ("reply", "score"),
    [
        (program("apples = 2", "apples += 3", "print(apples)"), 1),
        (program("print(2 + 3.0)"), 1),
        (program("print('a step:', 7)", "print(2 + 3)"), 1),
        (program("print('The answer is', 2 + 3)"), 1),
        (program("from sympy import Rational", "print(Rational(10, 2))"), 1),
        (program("print(2 * 3)"), 0),
        (program("print('no idea')"), 0),
        (program("print(2 + 3)", "raise ValueError"), 0.25),
        (program("while True: pass"), 0.25),
        (program("result = 5"), 0.25),
        (program("import socket", "socket.socket()"), 0.25),
        (program("print(2 +"), 0.25),
        ("I cannot write programs.", 0.25),
        ("```python\nprint(5)", 0.25),  # cut off
    ],
)
async def test_a_program_agrees_or_does_not_or_is_broken(reply, score):
    limits = Limits(seconds=5) if "while" in reply else PATIENT
    assert await agreement(reply, limits=limits) == score


async def test_same_is_what_the_format_calls_the_same():
    assert await agreement(program("print(0.5)"), "It is \\boxed{\\frac{1}{2}}") == 1


async def test_of_a_text_without_an_answer_nothing_is_asked():
    teacher = Teacher(lambda asked, seed: program("print(5)"))
    (score,) = await ProgramAgreement(broken=1).score(CHAT, [answer("Hm")], teacher.context)
    assert score.raw == 0 and not teacher.asked


async def test_the_model_sees_the_solution_and_what_is_wanted_of_it():
    for problem in (CHAT, PLAIN):
        teacher = Teacher(lambda asked, seed: "print(5)\n```")
        verifier = ProgramAgreement(lead="```python\n", limits=PATIENT)
        (score,) = await verifier.score(problem, [answer(SUM)], teacher.context)
        ((asked, node),) = teacher.asked
        whole = "\n".join([asked.prompt, *(m.content for m in asked.messages), node.text])
        assert whole.index("1+1") < whole.index("3 make 5") < whole.index("as a Python program")
        assert whole.endswith("```python\n") and score.raw == 1
    assert verifier.requires == {Capability.CONTINUATION} and not ProgramAgreement().requires


@pytest.mark.parametrize("problem", [CHAT, PLAIN], ids=["chat", "plain"])
async def test_the_contract(problem):
    def says(asked, seed):
        return program("print(2 + 3)")

    nodes = [answer(SUM), answer("\\boxed{6}"), answer("x")]
    verifier = ProgramAgreement(limits=PATIENT)
    await check_verifier(verifier, problem, nodes, Teacher(says).context)


async def test_its_bound_holds_and_the_program_is_charged_to_the_verifier():
    def simulate(problem, node, seed):
        if "as a Python program" in node.text:
            return Step(program("print(2 + 3)"), 20)
        return Step("\\boxed{5}" if seed % 2 else "\\boxed{6}", 5)

    backend = SimulatedBackend(simulate)
    verifier = ProgramAgreement(max_tokens=20, limits=PATIENT)
    result = await tts.solve(PLAIN, strategy=tts.BestOfN(n=6), backend=backend, verifier=verifier)
    assert result.answer == "5" and result.best.score.raw == 1
    assert result.usage.completion_tokens == 30 and result.usage.verifier_calls == 6
    each = verifier.bound(PLAIN, 5, FreeContext(backend)).verifier_tokens
    assert 6 * 20 < result.usage.verifier_tokens <= 6 * each


async def test_a_sandbox_that_does_not_work_is_a_fault_and_no_score(monkeypatch):
    def broken(*_, **__):
        return ["bwrap", "--no-such-option"]

    monkeypatch.setattr(sandbox._bubble, "layers", broken)
    with pytest.raises(VerifierError, match=r"did not start in the sandbox.*no-such-option"):
        await agreement(program("print(5)"))


@pytest.mark.parametrize(
    ("settings", "word"),
    [({"broken": 2}, r"verifier\.broken is 2"), ({"max_tokens": 0}, r"verifier\.max_tokens is 0")],
)
def test_fields_that_cannot_be_used_are_refused(settings, word):
    with pytest.raises(ConfigError, match=word):
        ProgramAgreement(**settings)
