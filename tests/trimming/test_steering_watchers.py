"""Watchers that steer: what they ask for, that it ends with the thinking, and who is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.trimming.tape import Tape
from tts import Greedy, Problem, solve
from tts.errors import CapabilityMissing, ConfigError
from tts.trimming import EndOfThinking, NoWait
from tts.trimming.no_wait import WORDS, spellings
from tts.types import Capability, Steering
from tts.watching import Pause, Piece, Setting, Thinking

SETTING = Setting(Thinking(), "3+4=", 100)
WHOLE = "<think>3+4=7\n\n</think>\n\n\\boxed{7}"
STEERED = frozenset({*Tape(lambda *_: "").capabilities, Capability.LOGITS_PROCESSORS})


def follow(problem, text, seed):
    return WHOLE[len(text) :]


async def run(tape, *watchers):
    return await solve(
        Problem.chat("p", "3+4="),
        strategy=Greedy(),
        backend=tape,
        watchers=watchers,
        max_tokens=100,
    )


def test_every_spelling_of_a_word_is_banned():
    assert set(spellings(("wait",))) == {"wait", " wait", "Wait", " Wait", "WAIT", " WAIT"}
    assert {" mcWait", "mcWait"} < set(spellings(("mcWait",)))
    banned = NoWait().begin(SETTING).banned
    assert len(banned) == len(set(banned)) == 6 * len(WORDS)
    assert {"Wait", " wait", "Alternatively", " hmm", "But", " However"} <= set(banned)


def test_the_end_of_thinking_is_steered_by_its_tag():
    state = EndOfThinking(1.5, 2.0).begin(replace(SETTING, thinking=Thinking(end="[/T]")))
    assert state == Steering({"[/T]": 2.0}, {"[/T]": 1.5})


def test_an_end_that_is_left_as_it_is_needs_no_steering():
    watcher = EndOfThinking()
    assert watcher.pause(watcher.begin(SETTING)) == Pause()


@pytest.mark.parametrize("watcher", [NoWait(), EndOfThinking(bias=1.0)])
def test_they_steer_and_decide_nothing(watcher):
    assert watcher.requires == {Capability.LOGITS_PROCESSORS}
    state = watcher.begin(SETTING)
    assert watcher.pause(state) == Pause(steering=state)
    assert watcher.read(state, Piece("Wait", 1)) == (state, None)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: NoWait(()), "no_wait.words"),
        (lambda: NoWait(("wait", " ")), "no_wait.words"),
        (lambda: EndOfThinking(0.0), "end_of_thinking.temperature"),
        (lambda: EndOfThinking(float("nan")), "end_of_thinking.temperature"),
        (lambda: EndOfThinking(bias=float("inf")), "end_of_thinking.bias"),
        (lambda: EndOfThinking(2.0).begin(Setting(Thinking(end=""), "", 9)), "marks none"),
    ],
)
def test_bad_settings_are_refused_by_name(make, words):
    with pytest.raises(ConfigError, match=words):
        make()


@pytest.mark.parametrize("watcher", [NoWait(), EndOfThinking(2.0)])
async def test_a_backend_that_cannot_be_steered_is_refused_before_anything_is_spent(watcher):
    tape = Tape(follow)
    with pytest.raises(CapabilityMissing, match="logits_processors"):
        await run(tape, watcher)
    assert not tape.requests


async def test_steering_ends_with_the_thinking():
    tape = Tape(follow, capabilities=STEERED)
    result = await run(tape, NoWait(("wait",)), EndOfThinking(2.0, 1.0))
    assert result.best.trajectory.text == WHOLE
    first, second = tape.requests
    assert first.steering == Steering({"</think>": 1.0}, {"</think>": 2.0}, spellings(("wait",)))
    assert second.trajectory.text.endswith("</think>")
    assert second.steering is None


async def test_wishes_of_several_watchers_add_up():
    tape = Tape(follow, capabilities=STEERED)
    watchers = NoWait(("but",)), NoWait(("but", "oh")), EndOfThinking(2.0, 1.0), EndOfThinking(1.5)
    await run(tape, *watchers)
    assert tape.requests[0].steering == Steering(
        {"</think>": 1.0}, {"</think>": 3.0}, spellings(("but", "oh"))
    )
