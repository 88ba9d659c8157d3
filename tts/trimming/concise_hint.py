"""ConciseHint: a hint to be concise, put into the chain now and then, ever more rarely.

Source: Tang et al. 2025, "ConciseHint: Boosting Efficient Reasoning via Continuous Concise Hints
during Generation", and its published code for the schedule. The interval grows with what has been
thought, so hard problems are disturbed less. A hint goes into the chunk that was just written,
behind a full stop or a comma; what stood behind it in the chunk is kept and follows the hint.

Here the interval grows with what the model itself has thought. The published code counts the
question and the hints as well, so a long question or a long hint stretches the intervals, which
the paper does not ask for; `counts="all"` does as it does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from tts.errors import ConfigError
from tts.types import Capability
from tts.watching import Decision, Insert, Pause, Piece, Reply, Setting

_SCALE = 1024
_LATEST = 0.8
_PUNCTUATION = (". ", ", ")
_CHARACTERS = 4  # of a token of English text


@dataclass(frozen=True, slots=True)
class Stretch:
    """Where a chain stands since the last hint.

    Attributes:
        start: Where the chunk began.
        text: What has been written since.
        tokens: The model's own tokens in it.
        length: Tokens that counted when it began.
        other: Tokens since then that are not the model's own.
        hint: Characters of the hint that is to be read next; 0 for none.
    """

    start: int = 0
    text: str = ""
    tokens: int = 0
    length: int = 0
    other: int = 0
    hint: int = 0


@dataclass(frozen=True)
class ConciseHint:
    """Puts a hint into the chain at growing intervals.

    A chunk has min(`longest`, floor(`alpha` + `beta` length)) tokens, where length is what had been
    thought when it began; the first one has `alpha`. The hint goes behind the first `. ` or `, ` at
    or behind the share min(max(tokens - `alpha`, 0) / 1024, 0.8) of the chunk's characters; a chunk
    without any is left alone.

    Args:
        hint: What is inserted, with the space that is to stand behind it.
        alpha: The first interval in tokens, at least 1; the shortest one as well.
        beta: How much the interval grows with each token thought, at least 0.
        longest: The longest interval in tokens, at least `alpha`.
        counts: What has been thought: what the `model` wrote, or `all`, with hints and other
            insertions, and the question (at 4 characters a token), as the published code does.
    """

    hint: str = "[Note: keep the rest of the reasoning concise.] "
    alpha: int = 128
    beta: float = 0.2
    longest: int = 1024
    counts: Literal["model", "all"] = "model"
    requires: frozenset[Capability] = frozenset()

    def __post_init__(self) -> None:
        for name, least in (("alpha", 1), ("beta", 0), ("longest", self.alpha)):
            if (value := getattr(self, name)) < least:
                raise ConfigError(f"concise_hint.{name} is {value}; it must be at least {least}.")
        if self.counts not in ("model", "all"):
            raise ConfigError(f"concise_hint.counts is {self.counts!r}; it must be model or all.")
        if not self.hint.strip():
            raise ConfigError("concise_hint.hint is empty.", hint="Say what the model shall do.")
        if (tokens := about(self.hint)) > self.alpha:
            raise ConfigError(
                f"concise_hint.hint has about {tokens} tokens, and the first one would come after"
                f" {self.alpha} (concise_hint.alpha).",
                hint="Shorten the hint, or raise concise_hint.alpha.",
            )

    def begin(self, setting: Setting) -> Stretch:
        """The first chunk."""
        # Nothing was thought: the first interval is alpha, whatever else counts from then on.
        return Stretch(other=math.ceil(len(setting.question) / _CHARACTERS))

    def pause(self, state: Stretch) -> Pause:
        """At the end of the chunk."""
        return Pause(tokens=max(1, self._interval(state) - state.tokens))

    def read(self, state: Stretch, piece: Piece) -> tuple[Stretch, Decision]:
        """Take in the chunk, and put the hint into it when it is whole."""
        if piece.injected:
            return self._injected(state, piece), None
        state = replace(state, text=state.text + piece.text, tokens=state.tokens + piece.tokens)
        if state.tokens < self._interval(state) or piece.ending == "end":
            return state, None
        end = self._place(state)
        following = self._next(state, state.start + len(state.text))
        if end is None:
            return following, None
        inserted = replace(following, start=state.start + end, hint=len(self.hint))
        text = self.hint + state.text[end:]
        reason = f"a chunk of {state.tokens} tokens"
        return inserted, Insert(inserted.start, text, reason)

    def hear(self, state: Stretch, reply: Reply) -> tuple[Stretch, Decision]:
        """It asks nothing."""
        return state, None

    def _interval(self, state: Stretch) -> int:
        """Tokens of the chunk."""
        return min(self.longest, math.floor(self.alpha + self.beta * state.length))

    def _place(self, state: Stretch) -> int | None:
        """Where in a whole chunk the hint goes, in characters from its start; None for nowhere."""
        share = min(max(self._interval(state) - self.alpha, 0) / _SCALE, _LATEST)
        start = int(share * len(state.text))
        found = [at for mark in _PUNCTUATION if (at := state.text.find(mark, start)) >= 0]
        return min(found) + 2 if found else None

    def _next(self, state: Stretch, start: int) -> Stretch:
        """The chunk that begins behind this one."""
        length = state.length + state.tokens + (state.other if self.counts == "all" else 0)
        return Stretch(start, length=length)

    def _injected(self, state: Stretch, piece: Piece) -> Stretch:
        """What was inserted: the hint with the rest of the last chunk, or something of others."""
        if not state.hint:
            return replace(state, text=state.text + piece.text, other=state.other + piece.tokens)
        # The rest of the chunk has been counted when the model wrote it.
        share = min(1.0, state.hint / max(1, len(piece.text)))
        hint = round(share * piece.tokens) if self.counts == "all" else 0
        return Stretch(state.start + len(piece.text), length=state.length + hint)


def about(text: str) -> int:
    """How many tokens a text has, about: no tokenizer is in sight of a watcher.

    Words that stand apart are at least a token each with common vocabularies, and a token of
    English has some four characters; beyond ASCII a character is about a token. The larger of
    these, so that a hint is rather refused than let in where it drowns the chain.
    """
    foreign = sum(not each.isascii() for each in text)
    return max(len(text.split()), math.ceil((len(text) - foreign) / _CHARACTERS) + foreign)
