"""Watched chains on a tape: caps that hold, cuts that do not depend on time, forks, faults."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import pytest

from tests.trimming.tape import PROMPT, Tape
from tests.trimming.tape import run as tape_run
from tts import Budget, Greedy, Problem, SelfConsistency, solve_all
from tts.backends.simulated import SimulatedBackend, Step, VirtualClock
from tts.errors import ConfigError
from tts.trimming.budget_forcing import BudgetForcing
from tts.trimming.deer import Deer
from tts.types import Message
from tts.watching import Abort, Ask, Close, Insert, Pause, Question, Thinking

THINKING = Thinking(lead="\\boxed{")
WHOLE = "<think>3+4=7\n\nWait 3+4=7\n\nWait 3+4=7\n\n</think>\\boxed{7}"


def follow(problem, text, seed):
    """Goes on with the whole answer; after a changed text it closes its box at once."""
    if WHOLE.startswith(text):
        return WHOLE[len(text) :]
    if text.endswith("\\boxed{"):
        return "7}"
    end = text.rfind("Wait") + 4
    return " 3+4=7\n\n</think>\\boxed{7}" if len(text) == end else "</think>\\boxed{7}"


async def run(tape, *watchers, **options):
    return await tape_run(tape, *watchers, **{"max_tokens": 200, "thinking": THINKING, **options})


@pytest.mark.parametrize("maximum", range(1, 45))
async def test_not_one_token_more_than_the_cap_is_thought(maximum):
    result = await run(Tape(follow), BudgetForcing(maximum))
    text = result.best.trajectory.text
    thought = text.removeprefix("<think>").partition("</think>")[0]
    natural = WHOLE.removeprefix("<think>").partition("</think>")[0]
    assert thought == natural[:maximum]
    assert result.answer == "7"
    injected = [s.text for s in result.best.trajectory.segments() if s.origin == "injected"]
    assert injected == (["</think>\\boxed{"] if maximum < len(natural + "</think>") else [])


async def test_an_idle_watcher_changes_nothing():
    tape, bare = Tape(follow), Tape(follow)
    watched = await run(tape, BudgetForcing(150))
    plain = await run(bare)
    assert watched.best.trajectory.text == plain.best.trajectory.text == WHOLE
    assert [r.seed for r in tape.requests] == [r.seed for r in bare.requests]
    assert watched.usage.completion_tokens == plain.usage.completion_tokens
    assert "watching" not in watched.details


async def test_an_end_that_comes_too_early_is_taken_back():
    result = await run(Tape(follow), BudgetForcing(minimum=100, extensions=1))
    text = result.best.trajectory.text
    assert text.count("</think>") == 1
    assert text.startswith(WHOLE.partition("</think>")[0] + "Wait")
    (entry,) = [e for e in result.details["watching"] if e["did"] == "insert"]
    assert entry["tokens"] == 4
    # What was inserted was not generated, and the end was, before it was taken back.
    assert result.usage.completion_tokens == len(text) - len("Wait") + len("</think>")


@pytest.mark.parametrize("waits", [True, False])
async def test_a_certain_trial_ends_the_thinking(waits):
    certain = WHOLE.index("Wait", WHOLE.index("Wait") + 1)

    def logprob(text):
        return 0.0 if text.startswith(WHOLE[:certain]) else -1.0

    tape = Tape(follow, logprob, VirtualClock())
    result = await run(tape, Deer(waits=waits))
    assert result.best.trajectory.text == WHOLE[:certain] + "</think>\\boxed{7}"
    assert result.answer == "7"
    asked = [e["at"] for e in result.details["watching"] if e["did"] == "ask"]
    assert certain - len("<think>") in asked
    generated = sum(len(n.segment.text) for n in result.tree if n.segment)
    assert result.usage.completion_tokens == generated == tape.generated


@pytest.mark.parametrize("chunk", [1, 3, 1000])
@pytest.mark.parametrize("slow", [0, 1, 5, 40])
async def test_the_text_does_not_depend_on_how_fast_replies_come(chunk, slow):
    """The judge says after `slow` seconds a character that the second marker is one too many."""
    clock = VirtualClock()
    judge = Tape(lambda *_: "No", clock=VirtualClock())
    judge.clock = clock
    tape = Tape(follow, clock=clock, chunk=chunk)

    def patience(problem, text, seed):
        return "x" * slow + ("Yes" if "2" in problem.messages[0].content else "No")

    judge.tape = patience
    result = await run(tape, AsksAJudge(), verifier_backend=judge)
    second = WHOLE.index("Wait", WHOLE.index("Wait") + 1)
    assert result.best.trajectory.text == WHOLE[:second] + "</think>\\boxed{7}"
    assert result.usage.verifier_tokens > 0


@dataclass(frozen=True)
class AsksAJudge:
    """Asks a judge at every `Wait`, and closes where it says yes."""

    requires: frozenset = frozenset()

    def begin(self, setting):
        return ""

    def pause(self, state):
        return Pause(watch=True)

    def read(self, state, piece):
        grown = state + piece.text
        new = [
            at for at in range(len(grown)) if grown.startswith("Wait", at) and at + 4 > len(state)
        ]
        questions = tuple(
            Question("enough", at, messages=(Message("user", f"{grown[:at].count('Wait') + 1}"),),
                     max_tokens=100)
            for at in new
        )  # fmt: skip
        return grown, Ask(questions) if questions else None

    def hear(self, state, reply):
        at = reply.question.at
        return (state[:at], Close(at)) if "Yes" in reply.segment.text else (state, None)


@dataclass(frozen=True)
class Broken(AsksAJudge):
    """Fails when it reads."""

    where: str = "read"

    def pause(self, state):
        if self.where != "pause":
            return super().pause(state)
        if state:
            raise RuntimeError("broken")
        return Pause(stop=("Wait",))

    def read(self, state, piece):
        if self.where == "read" and "4" in state:
            raise RuntimeError("broken")
        return super().read(state, piece)

    def hear(self, state, reply):
        raise RuntimeError("broken")


@pytest.mark.parametrize("where", ["read", "hear", "pause"])
async def test_a_watcher_that_fails_is_left_out_and_said(where):
    tape = Tape(follow)
    result = await run(tape, Broken(where=where), verifier_backend=Tape(lambda *_: "Yes"))
    assert result.best.trajectory.text == WHOLE
    (entry,) = [e for e in result.details["watching"] if e["did"] == "fail"]
    assert entry["reason"] == "RuntimeError: broken"
    assert entry["watcher"] == "Broken"


@dataclass(frozen=True)
class GivesUp(AsksAJudge):
    def read(self, state, piece):
        grown = state + piece.text
        return grown, Abort("enough") if "Wait" in grown else None


async def test_what_is_given_up_has_no_answer():
    result = await run(Tape(follow), GivesUp())
    assert result.answer is None
    assert result.candidates[0].trajectory.finish == "abort"


async def test_self_consistency_over_watched_chains():
    tape = Tape(follow)
    result = await run(tape, BudgetForcing(10), strategy=SelfConsistency(n=4))
    assert [c.answer.text for c in result.candidates] == ["7"] * 4
    assert len({c.trajectory.key for c in result.candidates}) == 4


async def test_a_chain_is_forked_with_its_watcher():
    """Where a watcher stands is kept on the node, and worked out anew where it was cut."""
    tape = Tape(follow)
    result = await run(tape, BudgetForcing(30))
    (whole,) = [c.trajectory for c in result.candidates]

    @dataclass(frozen=True)
    class GoesOn:
        requires: frozenset = frozenset()
        after: int = 20

        async def __call__(self, problem, env):
            from tts.types import Result

            fork = whole.cut(self.after)
            async with env.backend.open(env.request(fork, 0)) as stream:
                async for _ in stream:
                    pass
            return Result(problem.id, await env.candidate(stream.trajectory))

    again = await run(tape, BudgetForcing(30), strategy=GoesOn())
    assert again.best.trajectory.text == whole.text


async def test_watchers_nest():
    result = await run(Tape(follow), BudgetForcing(20), Deer(threshold=0.99))
    text = result.best.trajectory.text
    assert len(text.removeprefix("<think>").partition("</think>")[0]) == 20
    result = await run(Tape(follow), BudgetForcing(20), Deer(threshold=0.1))
    assert result.best.trajectory.text == "<think>3+4=7\n\n</think>\\boxed{7}"


@dataclass(frozen=True)
class Talks(AsksAJudge):
    """Inserts a long text at the first step."""

    def read(self, state, piece):
        grown = state + piece.text
        at = grown.find("\n\n") + 2
        if at > 1 and not piece.injected and "hint" not in grown:
            return grown[:at], Insert(at, "hint " * 10)
        return grown, None


async def test_the_cap_holds_against_other_watchers():
    result = await run(Tape(follow), Talks(), BudgetForcing(30))
    text = result.best.trajectory.text
    thought = text.removeprefix("<think>").partition("</think>")[0]
    assert len(thought) <= 30
    assert result.answer == "7"


async def test_a_budget_pays_for_the_chain_in_one_piece():
    tape = Tape(follow)
    budget = Budget(completion_tokens=40)
    result = await run(tape, BudgetForcing(20), budget=budget, strategy=SelfConsistency(n=3))
    assert result.usage.completion_tokens <= 40
    assert result.candidates


def test_a_cap_that_leaves_no_room_is_refused():
    with pytest.raises(ConfigError, match="whole answer may have 200 tokens"):
        asyncio.run(run(Tape(follow), BudgetForcing(200)))
    with pytest.raises(ConfigError, match="continuation"):
        asyncio.run(run(replace(Tape(follow), capabilities=frozenset()), BudgetForcing(20)))


async def test_the_prompt_is_charged_once_a_request():
    tape = Tape(follow)
    result = await run(tape, BudgetForcing(20))
    assert result.usage.calls == len(tape.requests) == 3  # the opening tag costs a stop
    assert result.usage.prompt_tokens == sum(PROMPT + len(r.trajectory.text) for r in tape.requests)


async def test_sixty_four_watchers_with_a_judge_on_four_slots_finish():
    """Judging beside the decode: chains go on while the judge has no slot for them."""
    clock = VirtualClock()

    def judging(problem, node, seed):
        return Step("Yes" if "2" in problem.messages[0].content else "No", 1, seconds=30.0)

    judge = SimulatedBackend(judging, clock=clock, slots=4)
    tape = Tape(follow, clock=clock)
    results = [
        result
        async for result in solve_all(
            [Problem.chat(f"p{i}", "3+4=") for i in range(64)],
            strategy=Greedy(),
            backend=tape,
            verifier_backend=judge,
            watchers=(AsksAJudge(),),
            thinking=THINKING,
            max_tokens=200,
            concurrency=64,
        )
    ]
    second = WHOLE.index("Wait", WHOLE.index("Wait") + 1)
    assert len(results) == 64
    assert {r.best.trajectory.text for r in results} == {WHOLE[:second] + "</think>\\boxed{7}"}
    assert tape.most == 64  # no chain has waited for another one's judgement
