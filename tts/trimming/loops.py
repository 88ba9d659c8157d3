"""Loops: a chain that writes the same passage again and again is stopped.

Source: the loop detection of TrimR (Lin et al. 2025), which finds repeated sub-sequences by a
rolling hash. What the note on it leaves open is settled here. A loop is a passage that stands
several times in a row, without anything between: a formula or a sentence that comes back later in
a chain is no loop. Characters are compared, not tokens: characters are what a watcher sees, every
language has them, and the same words may be other tokens the second time.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tts.errors import ConfigError
from tts.types import Capability
from tts.watching import Close, Decision, Pause, Piece, Reply, Setting

_PRIME = (1 << 31) - 1
_BASE = 1_000_003

Blocks = dict[int, tuple[int, ...]]
"""By the hash of a block, where such blocks end."""

FORCED = "I have thought long enough. I give the best answer that I have.\n"
"""Text that ends a chain which gets nowhere."""


@dataclass(frozen=True, slots=True)
class Trail:
    """What has been read, as far back as a loop may reach.

    Attributes:
        read: Characters so far.
        tail: The last of them.
        hash: Of the last block of them.
        blocks: The blocks of the text, side by side from its start, at least as far back as the
            longest period. Never changed once they are here.
        due: Where a loop may end, and its period, for loops that are nearly there.
    """

    read: int = 0
    tail: str = ""
    hash: int = 0
    blocks: Blocks = field(default_factory=dict)
    due: frozenset[tuple[int, int]] = frozenset()


@dataclass(frozen=True)
class Loops:
    """Closes thinking where a passage has come `repeats` times in a row.

    The last `block` characters are looked up among the blocks that came before, by a rolling hash.
    A passage that repeats contains a whole block, so no loop is missed; where hashes are equal the
    texts themselves are compared, so none is imagined. Work and memory are constant per character
    for given settings; a comparison takes place where a block comes back, and only there.

    Args:
        shortest: Length of the shortest passage in characters, at least 2. A shorter one counts as
            a passage of several of its copies: `0 0 0 0` is one of `shortest` characters and more.
        longest: Length of the longest passage in characters.
        repeats: How often it stands there when thinking is closed, at least 2.
        sentence: What the chain then ends with.
        every: Tokens between two looks, at least 1: so many may be written past the end of a loop,
            which are paid for and cut off. Fewer looks cost less.
    """

    shortest: int = 40
    longest: int = 2000
    repeats: int = 3
    sentence: str = "\n\n" + FORCED
    every: int = 128
    requires: frozenset[Capability] = frozenset()

    def __post_init__(self) -> None:
        for name, least in (
            ("shortest", 2),
            ("longest", self.shortest),
            ("repeats", 2),
            ("every", 1),
        ):
            if (value := getattr(self, name)) < least:
                raise ConfigError(f"loops.{name} is {value}; it must be at least {least}.")

    @property
    def block(self) -> int:
        """Characters of a block: any passage holds one, wherever it begins."""
        return (self.shortest + 1) // 2

    def begin(self, setting: Setting) -> Trail:
        """Nothing has been read."""
        return Trail()

    def pause(self, state: Trail) -> Pause:
        """Read along, so that a loop is found soon after it closes."""
        return Pause(watch=True, every=self.every)

    def read(self, state: Trail, piece: Piece) -> tuple[Trail, Decision]:
        """Look for a loop that ends in this piece."""
        text, block = state.tail + piece.text, self.block
        first, read = state.read - len(state.tail), state.read + len(piece.text)
        blocks, due, fingerprint, own = state.blocks, state.due, state.hash, False
        leaving = ("\0" * block + state.tail)[-block:] + piece.text
        top = pow(_BASE, block, _PRIME)
        for end, new, old in zip(
            range(state.read + 1, read + 1), piece.text, leaving, strict=False
        ):
            fingerprint = (fingerprint * _BASE + ord(new) - ord(old) * top) % _PRIME
            if fingerprint in blocks:
                due = due.union(self._nearly(text, end - first, end, blocks[fingerprint]))
            if due and (period := self._ends(text, end - first, end, due)):
                reason = f"{self.repeats} times the same {period} characters"
                return Trail(end), Close(end, self.sentence, reason)
            if end % block == 0:
                blocks, own = self._noted(blocks, own, fingerprint, end), True
                due = frozenset(each for each in due if each[0] > end)
        tail = text[max(0, len(text) - self.repeats * self.longest) :]
        return Trail(read, tail, fingerprint, blocks, due), None

    def hear(self, state: Trail, reply: Reply) -> tuple[Trail, Decision]:
        """It asks nothing."""
        return state, None

    def _nearly(
        self, text: str, last: int, end: int, before: tuple[int, ...]
    ) -> set[tuple[int, int]]:
        """Loops that end within a block from here, if the text goes on as they would.

        The last block of the last copy but one comes back less than a block before the loop ends.
        """
        found = set()
        for period in (end - each for each in before):
            whole = (self.repeats - 1) * period  # what has come before when the loop ends
            least = whole - self.block + 1
            if not self.shortest <= period <= self.longest or last < period + least:
                continue
            if text[last - least : last] == text[last - least - period : last - period]:
                same = least
                while same < whole and last > period + same and (
                    text[last - same - 1] == text[last - same - 1 - period]
                ):  # fmt: skip
                    same += 1
                found.add((end + whole - same, period))
        return found

    def _ends(self, text: str, last: int, end: int, due: frozenset[tuple[int, int]]) -> int:
        """The shortest period of the loops that end here; 0 for none."""
        for period in sorted(period for when, period in due if when == end):
            start = last - self.repeats * period
            if text[start : last - period] == text[start + period : last]:
                return period
        return 0

    def _noted(self, blocks: Blocks, own: bool, fingerprint: int, end: int) -> Blocks:
        """The blocks with one more; now and then without those that are too far back.

        Those of a state are left as they are: what is not our `own` is copied first.
        """
        noted = blocks if own else dict(blocks)
        noted[fingerprint] = (*noted.get(fingerprint, ()), end)
        if end % self.longest >= self.block:
            return noted
        least = end - self.longest
        recent = {each: tuple(old for old in ends if old >= least) for each, ends in noted.items()}
        return {each: ends for each, ends in recent.items() if ends}
