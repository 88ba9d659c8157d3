"""The contract of watchers, played without a model: one token a character, replies by a script."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from tts.protocols import Watcher
from tts.testing.promises import require
from tts.types import Segment
from tts.watching import (
    Abort,
    Ask,
    Close,
    Decision,
    Ending,
    Insert,
    Pause,
    Piece,
    Question,
    Reply,
    Setting,
    State,
    Thinking,
)

News = TypeVar("News")

CHAINS = (
    "",
    "3+4=7\n\nWait 3+4=7\n\nWait 3+4=7\n\nAlternatively 4+3=7\n\nWait 3+4=7\n\n",
    "First, we add. The answer is 7.\n\nWait, is it? Hmm, yes, it is.\n\nBut wait. " * 8,
    "again and again, " * 60,
)
"""Thinking parts that a watcher is tried on."""


def unsure(question: Question) -> Reply:
    """A reply that says nothing much."""
    return Reply(question, Segment("No", logprobs=(-1.0,)), "length")


def play(
    watcher: Watcher,
    text: str,
    cuts: Iterable[int] = (),
    *,
    setting: Setting | None = None,
    replies: Callable[[Question], Reply] = unsure,
) -> list[Decision]:
    """What a watcher decides about a chain, up to the first decision that changes it.

    Args:
        watcher: Is tried.
        text: The thinking part; it ends there.
        cuts: Positions at which it comes in pieces, beside those where the watcher pauses.
        setting: As it is told.
        replies: To its questions, which come at once.

    Raises:
        ContractError: The watcher breaks its contract.
    """
    state = watcher.begin(setting or Setting(Thinking(), "3+4=", 4096))
    places, at = sorted(set(cuts)), 0
    decisions: list[Decision] = []
    while True:
        pause = watcher.pause(state)
        require(pause.tokens is None or pause.tokens >= 1, f"a pause after {pause.tokens} tokens")
        stop = _stop(text, at, pause)
        end = min([stop, *(place for place in places if place > at)])
        final = end == len(text)
        ending: Ending | None = "end" if final else "pause" if end == stop else None
        piece = Piece(
            text[at:end], end - at, ending, logprobs=(-0.5,) * (end - at),
            top_logprobs=({0: -0.5, 1: -1.0},) * (end - at),
        )  # fmt: skip
        state, decision = _once(watcher.read, state, piece)
        at = end
        waiting = [decision]
        while waiting:
            decision = waiting.pop(0)
            if decision is None:
                continue
            decisions.append(decision)
            _check_place(decision, at)
            if not isinstance(decision, Ask):
                return decisions
            for question in decision.questions:
                state, further = _once(watcher.hear, state, replies(question))
                waiting.append(further)
        if final:
            return decisions


def check_watcher(watcher: Watcher, chains: Sequence[str] = CHAINS, seed: int = 0) -> None:
    """Check that a watcher keeps its contract.

    It is pure (the same state and piece give the same, and no state is changed), decides for
    positions that it has read, and decides the same however a chain is cut into pieces.

    Args:
        watcher: To be checked.
        chains: Thinking parts to try it on.
        seed: Of the cuts.

    Raises:
        ContractError: It does not; the message says what it does.
    """
    rng = random.Random(seed)
    name = type(watcher).__name__
    for text in chains:
        whole = play(watcher, text)
        for cuts in (range(len(text)), *(_cuts(text, rng) for _ in range(8))):
            cut = play(watcher, text, cuts)
            require(
                _plain(cut) == _plain(whole),
                f"{name} decides {_plain(cut)} where a chain comes in pieces, and {_plain(whole)}"
                " where it comes at once; decisions must not depend on that.",
            )


def _stop(text: str, at: int, pause: Pause) -> int:
    """Where a chain comes to its next stop."""
    ends = [len(text)]
    if pause.tokens is not None:
        ends.append(at + pause.tokens)
    for stop in pause.stop:
        found = text.find(stop, at)
        if found >= 0:
            ends.append(found + len(stop))
    return min(ends)


def _once(
    step: Callable[[State, News], tuple[State, Decision]], state: State, news: News
) -> tuple[State, Decision]:
    """Take a step twice; it must be the same, and leave the state as it was."""
    before = repr(state)
    first, second = step(state, news), step(state, news)
    require(first == second, f"{step.__qualname__} gave {first}, and then {second}.")
    require(repr(state) == before, f"{step.__qualname__} changed its state.")
    return first


def _check_place(decision: Decision, read: int) -> None:
    places = []
    if isinstance(decision, Ask):
        places = [question.at for question in decision.questions]
    elif isinstance(decision, Insert | Close):
        places = [decision.at]
    for at in places:
        require(
            0 <= at <= read, f"{decision} is for a position that is not within the {read} read."
        )


def _cuts(text: str, rng: random.Random) -> list[int]:
    return [rng.randrange(len(text)) for _ in range(rng.randrange(12))] if text else []


def _plain(decisions: Sequence[Decision]) -> list[Decision]:
    """Decisions without their reasons, questions one by one.

    Questions beyond the place where a chain was changed do not count: it had gone on meanwhile.
    """
    last = decisions[-1] if decisions else None
    end = last.at if isinstance(last, Insert | Close) else math.inf
    found: list[Decision] = []
    for decision in decisions:
        if isinstance(decision, Ask):
            found += [Ask((each,)) for each in decision.questions if each.at <= end]
        elif isinstance(decision, Insert | Close | Abort):
            found.append(replace(decision, reason=""))
    return found
