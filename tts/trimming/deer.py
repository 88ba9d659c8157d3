r"""DEER: at every change of mind a trial answer; thinking ends when the model is sure of it.

Source: Yang et al. 2025, "Dynamic Early Exit in Reasoning Models", and its code: 20 greedy tokens,
confidence 0.95, at most 10 trials. Trials are charged, and nothing of them stays in the chain.
Models that are sure of wrong answers leave too early.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal, get_args

from tts.errors import ConfigError
from tts.types import Capability
from tts.watching import Ask, Close, Decision, Pause, Piece, Question, Reply, Setting

Mean = Literal["arithmetic", "geometric", "least"]


@dataclass(frozen=True, slots=True)
class Trials:
    """How far a chain has come.

    Attributes:
        induction: Text that makes the model state its result.
        read: Characters of thinking.
        tail: The last of them, where a marker may have begun.
        asked: Trials so far.
    """

    induction: str
    read: int = 0
    tail: str = ""
    asked: int = 0


@dataclass(frozen=True)
class Deer:
    """Ends thinking when a trial answer is certain enough.

    Args:
        threshold: Confidence from which on thinking ends, above 0 and at most 1.
        markers: Words at which a trial is made, at least one.
        induction: Text after which the trial is written; None to close the thinking part and lead
            to the answer as `Thinking` says.
        max_tokens: Longest trial, at least 1.
        stop: Strings that end a trial.
        mean: Of the probabilities of the trial's tokens: `arithmetic`, `geometric` or the `least`.
        trials: Most trials in a chain, at least 1; after that only the model ends its thinking.
        waits: Whether the chain waits for each trial. If not it goes on beside the trial, and what
            was written meanwhile is charged and cut off where the trial is certain.
    """

    threshold: float = 0.95
    markers: tuple[str, ...] = ("Wait",)
    induction: str | None = None
    max_tokens: int = 20
    stop: tuple[str, ...] = ("}",)
    mean: Mean = "arithmetic"
    trials: int = 10
    waits: bool = True
    requires: frozenset[Capability] = frozenset({Capability.LOGPROBS})

    def __post_init__(self) -> None:
        object.__setattr__(self, "markers", tuple(self.markers))
        object.__setattr__(self, "stop", tuple(self.stop))
        if not 0 < self.threshold <= 1:
            raise ConfigError(
                f"deer.threshold is {self.threshold}; it must lie above 0, and be at most 1."
            )
        if not self.markers or not all(self.markers):
            raise ConfigError(
                "deer.markers has no words.", hint="Set trimming.deer.markers=[Wait]."
            )
        for name in ("max_tokens", "trials"):
            if getattr(self, name) < 1:
                raise ConfigError(f"deer.{name} is {getattr(self, name)}; it must be at least 1.")
        if self.mean not in get_args(Mean):
            raise ConfigError(f"deer.mean is {self.mean!r}; it must be one of {get_args(Mean)}.")

    def begin(self, setting: Setting) -> Trials:
        """No trial yet."""
        thinking = setting.thinking
        default = thinking.end + thinking.lead
        return Trials(default if self.induction is None else self.induction)

    def pause(self, state: Trials) -> Pause:
        """At the next marker."""
        if state.asked >= self.trials:
            return Pause()
        return Pause(stop=self.markers) if self.waits else Pause(watch=True)

    def read(self, state: Trials, piece: Piece) -> tuple[Trials, Decision]:
        """Look for markers."""
        text = state.tail + piece.text
        start = state.read - len(state.tail)
        keep = max(map(len, self.markers)) - 1
        grown = replace(
            state, read=state.read + len(piece.text), tail=text[max(0, len(text) - keep) :]
        )
        found = [] if piece.injected else self._places(text, len(state.tail))
        places = found[: self.trials - state.asked]
        if not places:
            return grown, None
        questions = tuple(self._trial(state, start + place) for place in places)
        return replace(grown, asked=state.asked + len(places)), Ask(questions)

    def hear(self, state: Trials, reply: Reply) -> tuple[Trials, Decision]:
        """Leave if the trial is certain."""
        sure = confidence(reply.segment.logprobs or (), self.mean)
        if sure < self.threshold:
            return state, None
        at = reply.question.at
        reason = f"a trial answer with confidence {sure:.3f}"
        return replace(state, read=at, tail=""), Close(at, "", reason)

    def _trial(self, state: Trials, at: int) -> Question:
        return Question(
            "trial",
            at,
            state.induction,
            max_tokens=self.max_tokens,
            stop=self.stop,
            logprobs=0,
            waits=self.waits,
        )

    def _places(self, text: str, old: int) -> list[int]:
        """Where markers stand that end behind the first `old` characters."""
        return sorted(
            {
                at
                for marker in self.markers
                for at in range(max(0, old - len(marker) + 1), len(text) - len(marker) + 1)
                if text.startswith(marker, at)
            }
        )


def confidence(logprobs: Sequence[float], mean: Mean) -> float:
    """How sure a model was of some tokens: 0 to 1, and 0 for none.

    Args:
        logprobs: Of the tokens, in nats.
        mean: How their probabilities are put together.
    """
    if not logprobs:
        return 0.0
    if mean == "least":
        return math.exp(min(logprobs))
    if mean == "geometric":
        return math.exp(fmean(logprobs))
    return fmean(math.exp(value) for value in logprobs)
