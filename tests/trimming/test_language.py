"""TrimR, loops, hints and confidence on real chains: with a judge, slow or fast, and together."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.trimming.tape import Tape
from tests.trimming.tape import run as tape_run
from tts import SelfConsistency
from tts.backends.simulated import SimulatedBackend, Step, VirtualClock
from tts.errors import BackendError
from tts.trimming.concise import PHRASES, ConCISE
from tts.trimming.concise_hint import ConciseHint
from tts.trimming.loops import FORCED, Loops
from tts.trimming.trimr import SETTLED, TrimR
from tts.types import Result, Trajectory
from tts.watching import Thinking

THINKING = Thinking(lead="\\boxed{")
STEPS = ["So 3 + 4 is 7. The answer is 7.", *["Wait, 3 + 4 is 7. The answer is 7."] * 7]
WHOLE = "<think>" + "\n\n".join(STEPS) + "\n\n</think>\\boxed{7}"


def follow(problem, text, seed):
    """Goes on with the whole answer; behind a changed text it comes to the end."""
    if WHOLE.startswith(text):
        return WHOLE[len(text) :]
    if text.endswith("so on.\n\n"):
        return "</think>\\boxed{7}"
    return "7}" if text.endswith("\\boxed{") else " And so on.\n\n</think>\\boxed{7}"


def judging(seconds=0.0, clock=None):
    def says(problem, trajectory, seed):
        asked = problem.messages[-1].content
        yes = "is 7" in asked.partition("Second excerpt:")[2] or "answer is" in asked
        return Step("Yes" if yes else "No", 1, seconds=seconds)

    return SimulatedBackend(says, clock=clock)


async def run(tape, *watchers, **options):
    return await tape_run(tape, *watchers, **{"max_tokens": 2000, "thinking": THINKING, **options})


def did(result, what):
    return [entry for entry in result.details["watching"] if entry["did"] == what]


@pytest.mark.parametrize(("seconds", "chunk"), [(0.0, 1), (0.0, 7), (30.0, 1), (500.0, 3)])
async def test_trimr_cuts_at_the_same_place_however_slow_the_judge(seconds, chunk):
    clock = VirtualClock()
    tape = Tape(follow, clock=clock, chunk=chunk)
    result = await run(tape, TrimR(), verifier_backend=judging(seconds, clock))
    kept = "<think>" + "\n\n".join(STEPS[:3]) + "\n\n"
    assert result.best.trajectory.text == kept + SETTLED + "</think>\\boxed{7}"
    assert result.answer == "7"
    (closed,) = did(result, "close")
    assert closed["reason"] == "converged" and closed["at"] == len(kept) - len("<think>")
    assert len(did(result, "ask")) >= 5 and result.usage.verifier_tokens > 0
    # The slow judge does not hold the chain up: all of it was written when the word came.
    assert (tape.generated >= len(WHOLE)) is (seconds == 500)


async def test_trimr_asks_the_policy_itself_where_there_is_no_other_judge():
    def both(problem, text, seed):
        return follow(problem, text, seed) if problem.id == "p" else "Yes"

    result = await run(Tape(both), TrimR())
    # A judge whose tokens are characters says `Y`, which is unclear and so a no.
    assert result.best.trajectory.text == WHOLE
    assert did(result, "ask") and not did(result, "fail")


async def test_a_judge_that_fails_leaves_plain_decoding_and_a_word():
    class Fails(SimulatedBackend):
        def open(self, request):
            raise BackendError("The judge is gone.")

    result = await run(Tape(follow), TrimR(), verifier_backend=Fails(judging().simulate))
    assert result.best.trajectory.text == WHOLE
    (failed,) = did(result, "fail")
    assert failed["watcher"] == "TrimR" and "The judge is gone." in failed["reason"]


async def test_underthinking_ends_by_force_at_the_end_of_the_segment():
    def no(problem, trajectory, seed):
        return Step("No", 1)

    result = await run(
        Tape(follow), TrimR(share=0.05), verifier_backend=SimulatedBackend(no), max_tokens=2000
    )
    text = result.best.trajectory.text
    kept = text.partition(FORCED)[0].removeprefix("<think>")
    assert kept == "\n\n".join(STEPS[:3]) + "\n\n"  # the first end of a segment behind 100 tokens
    assert result.answer == "7"


async def test_a_loop_ends_by_force():
    result = await run(Tape(follow), Loops(shortest=20))
    # The first step ends as the others do, so the loop begins and closes within a step.
    common = " 3 + 4 is 7. The answer is 7.\n\nWait,"
    assert result.best.trajectory.text == (
        "<think>So" + common * 3 + "\n\n" + FORCED + "</think>\\boxed{7}"
    )
    assert result.answer == "7"


async def test_hints_come_into_the_chain_and_what_follows_them_in_the_chunk_stays():
    result = await run(Tape(follow), ConciseHint(hint="[brief] ", alpha=50))
    text = result.best.trajectory.text
    at = WHOLE.index(". ") + 2
    assert text.startswith(WHOLE[:at] + "[brief] " + WHOLE[at : len("<think>") + 50])
    (inserted,) = did(result, "insert")
    assert inserted["at"] == at - len("<think>")
    assert result.answer == "7"


async def test_a_reflection_gives_way_and_a_sure_model_comes_to_its_end():
    def sure(problem, text, seed):
        return "Y" if text.endswith("No:") else follow(problem, text, seed)

    watcher = ConCISE(confident=("y",), threshold=0.5, answers=("The answer is",))
    result = await run(Tape(sure), watcher)
    kept = "<think>" + STEPS[0] + "\n\n"
    assert result.best.trajectory.text == kept + "</think>\\boxed{7}"
    result = await run(Tape(sure), ConCISE(confident=("yes",), answers=("The answer is",)))
    assert result.best.trajectory.text == (kept + PHRASES[0] + " And so on.\n\n</think>\\boxed{7}")
    assert len(did(result, "ask")) == 2 and result.answer == "7"


@pytest.mark.parametrize("chunk", [1, 5, 1000])
async def test_all_of_them_together_come_to_the_same_text(chunk):
    clock = VirtualClock()
    watchers = (
        TrimR(agree=1), Loops(shortest=20), ConciseHint(hint="[brief] ", alpha=40), ConCISE(),
    )  # fmt: skip
    result = await run(
        Tape(follow, clock=clock, chunk=chunk),
        *watchers,
        verifier_backend=judging(20.0, clock),
        strategy=SelfConsistency(n=3),
    )
    assert not did(result, "fail")
    assert result.answer == "7"
    texts = {each.trajectory.text for each in result.candidates}
    assert len(texts) == 1


@dataclass(frozen=True)
class TakesUp:
    """Goes on with a chain."""

    start: Trajectory
    requires: frozenset = frozenset()

    async def __call__(self, problem, env):
        async with env.backend.open(env.request(self.start, 0)) as stream:
            async for _ in stream:
                pass
        return Result(problem.id, await env.candidate(stream.trajectory))


@pytest.mark.parametrize("position", range(8, 112, 9))
async def test_a_chain_is_taken_up_anywhere_with_what_trimr_knows(position):
    judge = judging()
    whole = (await run(Tape(follow), TrimR(), verifier_backend=judge)).best.trajectory
    assert position < whole.text.index(SETTLED)
    strategy = TakesUp(whole.cut(position))
    again = await run(Tape(follow), TrimR(), verifier_backend=judge, strategy=strategy)
    assert again.best.trajectory.text == whole.text


@pytest.mark.parametrize(
    ("name", "watcher"),
    [
        ("trimr", TrimR()),
        ("loops", Loops()),
        ("concise_hint", ConciseHint()),
        ("concise", ConCISE()),
    ],
)
def test_the_configuration_says_what_the_code_does_by_itself(name, watcher):
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    path = Path(__file__).parents[2] / "configs" / "trimming" / f"{name}.yaml"
    made = instantiate(OmegaConf.load(path), _convert_="all")
    fields = [field.name for field in dataclasses.fields(watcher)]
    said = {field: getattr(made, field) for field in fields}
    meant = {field: getattr(watcher, field) for field in fields}
    assert {k: tuple(v) if isinstance(v, list) else v for k, v in said.items()} == meant
    assert set(OmegaConf.load(path)) == {"_target_", *fields} - {"requires"}
