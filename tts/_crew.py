"""All watchers of one chain as one: where they stand, when they want to hear, what they decide.

Pure, but for telling of a watcher that has failed: that one is left out from then on. Knows no
backend. What is decided is carried out by `tts._watched`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from tts._thinking import Place
from tts.protocols import Watcher
from tts.types import Steering, Trajectory
from tts.watching import (
    Abort,
    Ask,
    Close,
    Decision,
    Ending,
    Insert,
    Pause,
    Piece,
    Reply,
    Setting,
    State,
)

_GRAVITY = (Abort, Close, Insert)


@dataclass(frozen=True, slots=True)
class Stand:
    """Where a chain and its watchers stand; kept on its nodes.

    Attributes:
        place: In the thinking part.
        states: Of the watchers, in their order; None for one that has failed.
    """

    place: Place
    states: tuple[State | None, ...]


@dataclass(frozen=True, slots=True)
class Said:
    """A decision and who made it."""

    watcher: int
    decision: Decision


@dataclass(frozen=True, slots=True)
class News:
    """What a decode has brought.

    Attributes:
        text: Its text.
        tokens: How many tokens it has.
        ending: As of `Piece`.
        logprobs: As of `Piece`.
        top_logprobs: As of `Piece`.
    """

    text: str
    tokens: int
    ending: Ending | None = None
    logprobs: tuple[float, ...] | None = None
    top_logprobs: tuple[Mapping[int, float], ...] | None = None


@dataclass(frozen=True, slots=True)
class Crew:
    """The watchers of a chain.

    Attributes:
        watchers: In the order in which equal decisions count.
        setting: What they may know.
        opening: Tokens of the tag that opens the thinking part, which do not count as thinking.
        closing: Tokens of the tag that closes it, likewise.
        size: Tokens of the prompt together with a partial answer.
        failed: Is told which of them has failed, and how.
    """

    watchers: tuple[Watcher, ...]
    setting: Setting
    opening: Callable[[], int]
    closing: Callable[[], int]
    size: Callable[[Trajectory], int]
    failed: Callable[[int, Exception], None]

    def begin(self) -> Stand:
        """Where they stand before the first token."""
        states = tuple(watcher.begin(self.setting) for watcher in self.watchers)
        return Stand(Place.at_start(self.setting.thinking), states)

    def pause(self, stand: Stand) -> tuple[Stand, Pause]:
        """What all of them want together; with those left out that cannot say it."""
        if stand.place.phase == "over":
            return stand, Pause()
        wishes = []
        for i, state in enumerate(stand.states):
            try:
                wishes += [] if state is None else [self.watchers[i].pause(state)]
            except Exception as error:
                self.failed(i, error)
                stand = self.without(stand, i)
        return stand, _all_of(wishes)

    def read(self, stand: Stand, news: News) -> tuple[Stand, list[Said]]:
        """Have them read on."""
        before = stand.place
        if before.phase == "over":
            return stand, []
        text, place = before.after(news.text, self.setting.thinking)
        if before.phase == "before" and place.phase == "over" and not place.begun:
            return replace(stand, place=place), []  # it does not think
        found = place.phase == "over"
        ended = found or (place.phase == "thinking" and news.ending == "end")
        tokens = news.tokens
        if before.phase == "before":
            place = replace(place, tokens=before.tokens + tokens)
            tokens = place.tokens - self.opening() if place.phase != "before" else 0
        piece = Piece(
            text,
            max(0, tokens - self.closing() if found else tokens),
            "end" if ended else news.ending,
            logprobs=news.logprobs,
            top_logprobs=news.top_logprobs,
        )
        return self._give(replace(stand, place=place), piece)

    def hear(self, stand: Stand, watcher: int, reply: Reply) -> tuple[Stand, list[Said]]:
        """Have one of them hear a reply."""
        state = stand.states[watcher]
        if state is None:
            return stand, []
        try:
            state, decision = self.watchers[watcher].hear(state, reply)
        except Exception as error:
            self.failed(watcher, error)
            state = decision = None
        states = (*stand.states[:watcher], state, *stand.states[watcher + 1 :])
        said = [Said(watcher, decision)] if decision is not None else []
        return replace(stand, states=states), said

    def insert(self, stand: Stand, text: str, tokens: int) -> tuple[Stand, list[Said]]:
        """Have them see what has been put into the chain."""
        place = replace(stand.place, read=stand.place.read + len(text))
        return self._give(replace(stand, place=place), Piece(text, tokens, injected=True))

    def without(self, stand: Stand, watcher: int) -> Stand:
        """The same without one of them."""
        states = (*stand.states[:watcher], None, *stand.states[watcher + 1 :])
        return replace(stand, states=states)

    def stand_of(self, node: Trajectory) -> tuple[Stand, list[Said]]:
        """Where they stand at a node: as kept there, or as they would have read its text.

        With that, the questions that they ask about such text.
        """
        unread: list[Trajectory] = []
        above: Trajectory | None = node
        while above is not None and above.segment is not None and above.watched is None:
            unread.append(above)
            above = above.parent
        kept = above.watched if above is not None else None
        stand = kept if isinstance(kept, Stand) else self.begin()
        asking: list[Said] = []
        for each in reversed(unread):
            assert each.segment is not None and each.parent is not None, "roots are not unread"
            segment = each.segment
            tokens = self.size(each) - self.size(each.parent)
            if segment.origin != "model" and stand.place.phase == "thinking":
                stand, said = self.insert(stand, segment.text, tokens)
            else:
                stand, said = self.read(stand, News(segment.text, tokens))
            asking += gravest(said)[1]
        return stand, asking

    def _give(self, stand: Stand, piece: Piece) -> tuple[Stand, list[Said]]:
        said: list[Said] = []
        states: list[State | None] = []
        for i, (watcher, state) in enumerate(zip(self.watchers, stand.states, strict=True)):
            if state is not None:
                try:
                    state, decision = watcher.read(state, piece)
                except Exception as error:
                    self.failed(i, error)
                    state = decision = None
                if decision is not None:
                    said.append(Said(i, decision))
            states.append(state)
        return Stand(stand.place, tuple(states)), said


def gravest(said: Sequence[Said]) -> tuple[Said | None, list[Said]]:
    """The decision that counts, and the questions that are to be asked."""
    asking = [each for each in said if isinstance(each.decision, Ask)]
    acting = [each for each in said if isinstance(each.decision, _GRAVITY)]

    def rank(each: Said) -> tuple[int, int, int]:
        at = 0 if isinstance(each.decision, Abort) else each.decision.at  # type: ignore[union-attr]
        return _GRAVITY.index(type(each.decision)), at, each.watcher

    return min(acting, key=rank, default=None), asking


def _all_of(wishes: Sequence[Pause]) -> Pause:
    """One pause for all."""
    tokens = [wish.tokens for wish in wishes if wish.tokens is not None]
    logprobs = [wish.logprobs for wish in wishes if wish.logprobs is not None]
    steering = _together([wish.steering for wish in wishes if wish.steering is not None])
    return Pause(
        stop=tuple(dict.fromkeys(text for wish in wishes for text in wish.stop)),
        tokens=max(1, min(tokens)) if tokens else None,
        # What is changed while the model thinks must not go on when it has ended.
        end=any(wish.end for wish in wishes) or steering is not None,
        watch=any(wish.watch for wish in wishes),
        every=min((wish.every for wish in wishes if wish.watch), default=1),
        logprobs=max(logprobs) if logprobs else None,
        steering=steering,
    )


def _together(wishes: Sequence[Steering]) -> Steering | None:
    """All changes to the distribution at once."""
    if not wishes:
        return None
    bias: dict[str, float] = {}
    temperatures: dict[str, float] = {}
    for wish in wishes:
        for text, value in wish.bias.items():
            bias[text] = bias.get(text, 0.0) + value
        for text, value in wish.temperatures.items():
            temperatures[text] = temperatures.get(text, 1.0) * value
    banned = dict.fromkeys(text for wish in wishes for text in wish.banned)
    return Steering(bias, temperatures, tuple(banned))
