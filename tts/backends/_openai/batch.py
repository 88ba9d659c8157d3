"""Several decodes of the same prompt in one request, and who of them pays for what."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from typing import Any

from tts.backends._openai.decode import Decode, Voice, cancelled, content, outcome
from tts.backends._openai.draft import Draft
from tts.backends._slots import Lane
from tts.errors import BackendError, ConfigError


class Batch:
    """Several decodes of the same prompt, asked in one request.

    The prompt is charged to the first of them, and the server's count of what it generated is
    split among all.

    Args:
        voice: What they share with others.
    """

    streaming = False

    def __init__(self, voice: Voice) -> None:
        self.members: list[Decode] = []
        self._voice = voice
        self._left: set[int] = set()  # members that nobody wants any more, by their place
        self._answered = False
        self._task: asyncio.Task[None] | None = None

    def join(self, decode: Decode) -> None:
        """Take in another one, before anything is sent."""
        place = len(self.members)
        self.members.append(decode)
        decode.belong(partial(self._leave, place))

    def send(self) -> None:
        """Ask for all that are still wanted."""
        wanted = [m for place, m in enumerate(self.members) if place not in self._left]
        if len(wanted) < 2:
            for member in wanted:
                member.start()
            return
        self.members, self._left = wanted, set()
        for place, member in enumerate(wanted):
            member.free = place > 0
            member.belong(partial(self._leave, place))
        self._task = asyncio.create_task(self._voice.line.deliver(self))
        self._task.add_done_callback(self._ended)

    async def _leave(self, place: int) -> None:
        self._left.add(place)
        if len(self._left) == len(self.members) and self._task is not None:
            await cancelled(self._task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = outcome(task)
        refused = type(error) is ConfigError  # most likely for asking for several at once
        for place, member in enumerate(self.members):
            if member.finished or (error is not None and not refused):
                member.draft.end(error)
            elif place not in self._left:
                self._voice.choices = 1
                member.free = False
                member.start()

    @property
    def key(self) -> Hashable:
        """The problem, whose prefix a server may have in its cache."""
        return self.members[0].key

    @property
    def lane(self) -> Lane:
        """Who asks: the same for all."""
        return self.members[0].lane

    @property
    def finished(self) -> bool:
        """Whether there was an answer, be it to some of them only."""
        return self._answered

    def order(self) -> tuple[str, dict[str, Any]]:
        """Path and body of the request for all."""
        first = self.members[0]
        return first.order()[0], first.body(len(self.members))

    def bound(self) -> int:
        """Most tokens that the request can cost."""
        first = self.members[0]
        return first.bound() + (len(self.members) - 1) * first.request.max_tokens

    def used(self) -> int:
        """Tokens that have been used."""
        return sum(member.used() for member in self.members)

    def sent(self, there: bool) -> None:
        """Whether a request is with the server now."""
        for member in self.members:
            member.sent(there)

    def cut(self, why: str) -> bool:
        """A reply was lost: the same draws can be had again only if there is no chance in them."""
        return self.members[0].cut(why)

    def take(self, data: Mapping[str, Any]) -> bool:
        """Hand out the samples of a reply."""
        choices, usage = content(data)
        if not choices:
            raise BackendError("The server's reply has no choices.")
        answered = self.members[: len(choices)]
        for member, choice in zip(answered, choices, strict=False):
            member.add(choice)
            if not member.finished:
                raise BackendError("The server's reply has no finish reason.")
        if usage:
            self._share(answered, usage)
        for member in answered:
            member.draft.check()
        self._answered = True
        return True

    def _share(self, answered: Sequence[Decode], usage: Mapping[str, Any]) -> None:
        """The prompt to the first, and to each what it generated."""
        prompt = {k: usage.get(k) for k in ("prompt_tokens", "prompt_tokens_details")}
        answered[0].learn(prompt)
        total = usage.get("completion_tokens")
        if total is None or all(m.draft.counted() is not None for m in answered):
            return
        most = self.members[0].request.max_tokens
        if total > most * len(answered):
            raise BackendError(
                f"The server ignores max_tokens: it generated {total} tokens in {len(answered)}"
                f" samples, and {most} were asked for in each."
            )
        for member, share in zip(
            answered, shares([m.draft for m in answered], total, most), strict=True
        ):
            member.learn({"completion_tokens": share})


def shares(drafts: Sequence[Draft], total: int, most: int) -> list[int]:
    """How many tokens each of several samples has, if together they have `total`.

    One that hit its cap has as many; the others share by the length of their text.
    """
    capped = [draft.finish == "length" for draft in drafts]
    left = total - most * sum(capped)
    free = [len(d.text) + 1.0 for d, cap in zip(drafts, capped, strict=True) if not cap]
    if not (free and 0 <= left <= most * len(free)) and not (not free and left == 0):
        return split(total, [len(d.text) + 1.0 for d in drafts], most)
    parts = iter(split(left, free, most) if free else [])
    return [most if cap else next(parts) for cap in capped]


def split(total: int, weights: Sequence[float], most: int) -> list[int]:
    """Shares of a total in proportion to weights, each a whole number and at most `most`.

    The shares add up to the total exactly; by largest remainders, earlier ones first.

    Args:
        total: 0 to `most` times the number of weights.
        weights: At least one, none below 0.
        most: Largest share.
    """
    shares = [0] * len(weights)
    open_ = list(range(len(weights)))
    left = total
    while open_:
        mass = sum(weights[i] for i in open_)
        ideal = {i: left * (weights[i] / mass if mass else 1 / len(open_)) for i in open_}
        full = [i for i in open_ if ideal[i] >= most]
        if not full:
            return _round(shares, ideal, left)
        for i in full:
            shares[i] = min(most, left)
            left -= shares[i]
        open_ = [i for i in open_ if i not in full]
    return shares


def _round(shares: list[int], ideal: Mapping[int, float], left: int) -> list[int]:
    for i, value in ideal.items():
        shares[i] = int(value)
    rest = left - sum(shares[i] for i in ideal)
    by_remainder = sorted(ideal, key=lambda i: (int(ideal[i]) - ideal[i], i))
    for i in by_remainder[:rest]:
        shares[i] += 1
    return shares
