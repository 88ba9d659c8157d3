"""Commands as verifiers: what they are given, how they are read, what is refused."""

from __future__ import annotations

import shutil
import sys

import pytest

import tts
from tests.sandbox.walls import PATIENT, needs_sandbox
from tests.verifiers.asked import PLAIN, answer
from tts.backends.simulated import SimulatedBackend, Step
from tts.errors import ConfigError, VerifierError
from tts.sandbox import Limits
from tts.tasks import ProgramAnswers
from tts.testing import FreeContext, World, check_verifier
from tts.types import Problem
from tts.verifiers import Command

pytestmark = needs_sandbox
SIX = "So it is \\boxed{6}"
PROBLEM = Problem("p", prompt="2*3=", metadata={"statement": "{answer} & 2*3", "level": 4})


async def raw(verifier, text=SIX, problem=PROBLEM, answers=None):
    context = FreeContext(World().backend(), *([answers] if answers else []))
    (score,) = await verifier.score(problem, [answer(text)], context)
    assert score.scale == verifier.scale
    return score.raw


def command(*argv, **settings):
    return Command(argv, **{"limits": PATIENT, **settings})


def script(text, *argv, **settings):
    return command("sh", "-c", text, "sh", *argv, **settings)


# --- what a command is given --------------------------------------------------------------------


async def test_the_answer_stands_where_it_is_asked_for():
    assert await raw(script("test $1 = 6", "{answer}")) == 1
    assert await raw(script("test \"$1\" = 'is 6 or 6'", "is {answer} or {answer}")) == 1
    assert await raw(script("test \"$1\" = 'So it is \\boxed{6}'", "{text}")) == 1
    assert await raw(script("test $(cat) = 6", stdin="{answer}")) == 1
    assert await raw(script("test $(cat a/b.txt) = 'x6'", file="a/b.txt", content="x{answer}")) == 1


async def test_the_problem_stands_beside_it_and_braces_of_its_own_are_left_alone():
    given = "{metadata.statement} {metadata.level} {answer} {other} {}"
    wanted = {"WANTED": "{answer} & 2*3 4 6 {other} {}"}
    assert await raw(script('test "$1" = "$WANTED"', given, env=wanted)) == 1


async def test_an_answer_is_no_template_and_no_command():
    answer = "{text}; exit 1 {metadata.level}"
    verifier = script('test "$1" = "$WANTED"', "{answer}", env={"WANTED": answer})
    assert await raw(verifier, f"\\boxed{{{answer}}}") == 1


async def test_a_text_without_an_answer_is_rejected_unless_the_text_is_asked_for():
    assert await raw(script("exit 0", "{answer}", rejected=0.25), "Hm") == 0.25
    assert await raw(script("test $1 = Hm", "{text}"), "Hm") == 1


async def test_variables_and_places_are_there(tmp_path):
    (tmp_path / "known").write_text("6\n")
    tmp_path.chmod(0o755)  # as root, what is inside is nobody
    verifier = script(
        "test $1 = $(cat $KNOWN)",
        "{answer}",
        env={"KNOWN": str(tmp_path / "known")},
        binds=[str(tmp_path)],
    )
    assert await raw(verifier) == 1


# --- what it says -------------------------------------------------------------------------------


async def test_the_exit_code_decides():
    assert await raw(script("exit $1", "{answer}")) == 0
    assert await raw(script("exit $1", "{answer}", codes=[5, 6])) == 1
    assert await raw(script("kill -9 $$", "{answer}")) == 0


async def test_or_a_number_does():
    said = r"echo score: 9; echo \" score: 0.5\"; exit $2"
    assert await raw(script(said, "{answer}", "0", number=r"score: (\S+)\b")) == 0.5
    assert await raw(script(said, "{answer}", "1", number=r"score: (\S+)\b")) == 0
    verifier = script("echo -7.5", "{answer}", number="(.+)", scale="reward", rejected=-100)
    assert await raw(verifier) == -7.5 and await raw(verifier, "Hm") == -100


@pytest.mark.parametrize("said", ["fine", "7", "nan", "inf", ""])
async def test_what_is_no_such_number_is_an_error(said):
    with pytest.raises(VerifierError, match=r"printed no probability that verifier.number finds"):
        await raw(script(f"echo {said}", "{answer}", number="(.+)"))


async def test_limits_reject():
    tight = Limits(seconds=1, output_kib=8)
    assert await raw(script("sleep 99", "{answer}", limits=tight)) == 0
    assert await raw(script("yes", "{answer}", limits=tight)) == 0


async def test_an_answer_that_is_no_argument_is_an_error_with_a_way_out():
    for text in ("x" * (1 << 18), "a\0b", "\ud800"):
        with pytest.raises(VerifierError, match=r"cannot be given.*verifier\.file"):
            await raw(script("exit 0", "{text}"), text)
        assert await raw(script("exit 0", file="a", content="{text}"), text) == 1


# --- refused beforehand -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "settings", "said"),
    [
        ([], {}, "verifier.argv is empty"),
        (["no-such-checker", "{answer}"], {}, "There is no command 'no-such-checker'"),
        (["{answer}", "{answer}"], {}, "There is no command '{answer}'"),
        (["true"], {}, "would never see an answer"),
        (["true", "{metadata.level}"], {}, "would never see an answer"),
        (["true", "{answer}"], {"scale": "points"}, "verifier.scale is 'points'"),
        (["true", "{answer}"], {"rejected": -1}, "verifier.rejected is -1"),
        (["true", "{answer}"], {"number": "("}, "verifier.number is '\\('"),
        (["true", "{answer}"], {"number": "a"}, "has 0 groups"),
        (["true", "{answer}"], {"binds": ["here"]}, "binds names 'here'"),
        (["true", "{answer}"], {"file": "../a"}, "verifier.file is '../a'"),
    ],
)
def test_what_cannot_work_is_refused(argv, settings, said):
    with pytest.raises(ConfigError, match=said):
        Command(argv, **settings)


def test_a_command_that_no_sandbox_sees_is_refused(tmp_path):
    checker = tmp_path / "checker"
    checker.write_text("#!/bin/sh\n")
    checker.chmod(0o755)
    with pytest.raises(ConfigError, match="which a sandbox does not see"):
        command(str(checker), "{answer}")
    assert command(str(checker), "{answer}", binds=[str(tmp_path)])


async def test_metadata_that_is_not_there_is_refused_before_anything_is_spent():
    verifier = script("exit 0", "{answer}", "{metadata.theorem}")
    with pytest.raises(ConfigError, match=r"no field 'theorem'.*metadata=\[theorem\]"):
        verifier.bound(PROBLEM, 10, FreeContext(World().backend()))


async def test_a_command_that_does_not_start_is_an_error(tmp_path):
    checker = tmp_path / "checker"
    checker.write_text("#!/no/such/interpreter\n")
    checker.chmod(0o755)
    with pytest.raises(VerifierError, match="did not start in the sandbox"):
        await raw(command(str(checker), "{answer}", binds=[str(tmp_path)]))


# --- in use -------------------------------------------------------------------------------------


async def test_the_contract():
    nodes = [answer(SIX), answer("\\boxed{7}"), answer("Hm")]
    await check_verifier(script("test $1 = 6", "{answer}"), PROBLEM, nodes)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler")
async def test_a_compiler_judges_programs():
    gcc = command("gcc", "-fsyntax-only", "-Wall", "-Werror", "a.c", file="a.c")
    good, bad = "int f(int x) { return 2 * x; }", "int f(int x) { return 2 * y; }"
    for code, score in ((good, 1), (bad, 0)):
        assert await raw(gcc, f"```c\n{code}\n```", answers=ProgramAnswers()) == score


async def test_a_script_in_python_may_say_a_number():
    code = "import sys; n = int(sys.argv[1]); print('p =', 1 / n)"
    verifier = command(sys.executable, "-c", code, "{answer}", number=r"p = (\S+)")
    assert await raw(verifier) == pytest.approx(1 / 6)


async def test_best_of_n_by_a_command():
    def simulate(problem, node, seed):
        return Step(f"\\boxed{{{seed % 5}}}", 5)

    result = await tts.solve(
        PLAIN,
        strategy=tts.BestOfN(n=12),
        backend=SimulatedBackend(simulate),
        verifier=script("test $1 = 3", "{answer}"),
    )
    assert result.answer == "3" and result.usage.verifier_calls == 12
