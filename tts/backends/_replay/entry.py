"""What a replay cache keeps of one decode, and how it is cut, joined and written down.

Pure. An entry knows neither the request that it answers nor where it is stored.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from tts.types import Chunk, FinishReason, Segment

T = TypeVar("T")
Written = TypeVar("Written", Segment, Chunk)

NO_LOGPROBS = -1  # the least detail; 0: of the drawn tokens; k: of the k likeliest as well

Mark = tuple[int, int]
"""A place in an answer: characters and tokens up to it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One decode.

    Attributes:
        segment: What was written.
        marks: Places at which a chunk ended, in order. What was still under way when a stream was
            left comes after the last of them.
        finish: Why it ended.
        prompt: Prompt tokens.
        cached: The part of them that came from the engine's prefix cache.
        completion: Generated tokens; one more than are kept where the answer's end is a token.
        detail: How far its log-probabilities go, `NO_LOGPROBS` or more.
    """

    segment: Segment
    marks: tuple[Mark, ...]
    finish: FinishReason
    prompt: int
    cached: int
    completion: int
    detail: int = NO_LOGPROBS

    @property
    def ended(self) -> bool:
        """Whether there is no more to come, whatever the cap."""
        return self.finish in ("stop", "step")

    @property
    def sure(self) -> bool:
        """Whether it is worth keeping, and its text is known to be that of its tokens.

        Of a stream that was left some servers tell neither how much they had generated nor all of
        its text; the cost is then an upper bound, and says nothing about the text.
        """
        counted = self.segment.logprobs if self.segment.tokens is None else self.segment.tokens
        told = counted is not None and len(counted) == self.completion
        return self.completion > 0 and (self.finish != "abort" or told)

    @property
    def end(self) -> Mark:
        """The place where all that is kept ends."""
        kept = self.segment.tokens
        return len(self.segment.text), self.completion if kept is None else len(kept)

    def replaces(self, other: Entry) -> bool:
        """Whether it says more than another entry of the same draw."""
        if self.detail != other.detail:
            return self.detail > other.detail
        return not other.ended and (self.ended or self.completion > other.completion)

    def until(self, place: Mark, finish: FinishReason) -> Entry:
        """The part of it up to a place, ended there for another reason."""
        marks = tuple(mark for mark in self.marks if mark[1] < place[1])
        segment = _cut(self.segment, place)
        return replace(
            self, segment=segment, marks=(*marks, place), finish=finish, completion=place[1]
        )

    def and_then(self, rest: Entry) -> Entry:
        """This entry continued by another one."""
        characters, tokens = self.end
        moved = tuple((c + characters, t + tokens) for c, t in rest.marks)
        return replace(
            rest,
            segment=join(self.segment, rest.segment),
            marks=(*_without_last(self), self.end, *moved),
            prompt=self.prompt,
            cached=self.cached,
            completion=tokens + rest.completion,
            detail=min(self.detail, rest.detail),
        )

    def encoded(self) -> bytes:
        """Compressed JSON."""
        segment = self.segment
        top = segment.top_logprobs
        data = {
            "text": segment.text,
            "tokens": segment.tokens,
            "tokenizer": segment.tokenizer,
            "logprobs": segment.logprobs,
            "top_logprobs": None if top is None else [list(each.items()) for each in top],
            "marks": self.marks,
            "finish": self.finish,
            "prompt": self.prompt,
            "cached": self.cached,
            "completion": self.completion,
            "detail": self.detail,
        }
        return zlib.compress(json.dumps(data, separators=(",", ":")).encode(), 1)

    @classmethod
    def decoded(cls, data: bytes) -> Entry:
        """An entry as it was written.

        Raises:
            ValueError: The bytes are none.
        """
        try:
            return _read(json.loads(zlib.decompress(data)))
        except (zlib.error, KeyError, TypeError) as error:
            raise ValueError(f"no entry: {error}") from error


def join(first: Segment, second: Segment) -> Segment:
    """Two pieces as one; ids and log-probabilities are kept where both have them."""
    same = first.tokenizer == second.tokenizer
    return Segment(
        first.text + second.text,
        tokens=_sum(first.tokens, second.tokens) if same else None,
        tokenizer=first.tokenizer if same else None,
        logprobs=_sum(first.logprobs, second.logprobs),
        top_logprobs=_sum(first.top_logprobs, second.top_logprobs),
    )


def together(first: Chunk, second: Chunk) -> Chunk:
    """Two chunks as one, the second of which may be the last."""
    return Chunk(
        first.text + second.text,
        first.tokens + second.tokens,
        second.finish,
        _sum(first.logprobs, second.logprobs),
        _sum(first.top_logprobs, second.top_logprobs),
    )


def likeliest(piece: Written, most: int) -> Written:
    """A piece with the `most` likeliest tokens of each position, or without any at 0."""
    if piece.top_logprobs is None:
        return piece
    if most == 0:
        return replace(piece, top_logprobs=None)
    return replace(piece, top_logprobs=tuple(_top(each, most) for each in piece.top_logprobs))


def _top(position: Mapping[int, float], most: int) -> dict[int, float]:
    if len(position) <= most:
        return dict(position)
    ranked = sorted(position.items(), key=lambda pair: -pair[1])[:most]
    return dict(ranked)


def _sum(first: tuple[T, ...] | None, second: tuple[T, ...] | None) -> tuple[T, ...] | None:
    return None if first is None or second is None else first + second


def _cut(segment: Segment, place: Mark) -> Segment:
    characters, tokens = place
    return replace(
        segment,
        text=segment.text[:characters],
        tokens=segment.tokens and segment.tokens[:tokens],
        logprobs=segment.logprobs and segment.logprobs[:tokens],
        top_logprobs=segment.top_logprobs and segment.top_logprobs[:tokens],
    )


def _without_last(entry: Entry) -> tuple[Mark, ...]:
    return entry.marks[:-1] if entry.marks and entry.marks[-1] == entry.end else entry.marks


def _read(data: dict[str, Any]) -> Entry:
    top = data["top_logprobs"]
    segment = Segment(
        data["text"],
        tokens=_tuple(data["tokens"]),
        tokenizer=data["tokenizer"],
        logprobs=_tuple(data["logprobs"]),
        top_logprobs=None if top is None else tuple(dict(each) for each in top),
    )
    numbers = {name: data[name] for name in ("prompt", "cached", "completion", "detail")}
    marks = tuple((characters, tokens) for characters, tokens in data["marks"])
    return Entry(segment, marks, data["finish"], **numbers)


def _tuple(values: list[Any] | None) -> tuple[Any, ...] | None:
    return None if values is None else tuple(values)
