"""Where the watchers of a chain stood before: what it takes to put them back to a position.

Only the latest places are kept; from an older one the text is read again, which gives the same, as
watchers are pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from tts._crew import Crew, News, Stand
from tts.watching import Reply

_KEPT = 256


@dataclass(eq=False, slots=True)
class History:
    """What the watchers of one stream have been told.

    Attributes:
        crew: They.
        start: Where they stood when the stream was opened.
        heard: Replies, with the number of who asked, in order.
    """

    crew: Crew
    start: Stand
    heard: list[tuple[int, Reply]] = field(default_factory=list)
    _places: deque[tuple[Stand, int]] = field(default_factory=lambda: deque(maxlen=_KEPT))

    def note(self, stand: Stand) -> None:
        """Remember where they stand before they read on."""
        self._places.append((stand, len(self.heard)))

    def back(
        self, now: Stand, decider: int, at: int, text: str, size: Callable[[int], int]
    ) -> Stand:
        """Where they stand when the chain has been cut.

        Args:
            now: Where they stand.
            decider: Who has decided for the position, and whose state is there already.
            at: The position in the thinking part.
            text: Of the thinking part.
            size: Tokens up to a position in it.
        """
        place = replace(now.place, phase="thinking", read=at, held="")
        if at >= now.place.read:
            return replace(now, place=place)
        then, heard = self._before(at)
        read = then.place.read
        again = News(text[read:at], size(at) - size(read))
        then, _ = self.crew.read(replace(then, place=replace(place, read=read)), again)
        for watcher, reply in self.heard[heard:]:
            if reply.question.at <= at:
                then, _ = self.crew.hear(then, watcher, reply)
        states = list(then.states)
        states[decider] = now.states[decider]
        return Stand(place, tuple(states))

    def _before(self, at: int) -> tuple[Stand, int]:
        """The latest place that is not behind a position, and the replies heard by then."""
        for entry in (*reversed(self._places), (self.start, 0)):
            if entry[0].place.read <= at:
                return entry
        return self.crew.begin(), 0
