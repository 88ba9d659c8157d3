"""What the index of a store needs of a line, without the rest of the record.

A hundred thousand records are to be indexed within seconds. The fields are those of `Record`, and a
line with others is none; what the index does not need is passed over, and checked when somebody
reads the whole record.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from tts.evaluation.records import Key, Outcome
from tts.types import Status, Usage


class Brief(NamedTuple):
    """A record in short."""

    key: Key
    outcome: Outcome


class _Candidate(msgspec.Struct, gc=False):
    correct: bool | None = None


class _Line(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    configuration: str
    id: str
    arm: str
    status: Status
    usage: Usage
    seed: int
    repeat: int = 0
    limit: str = ""
    error: str = ""
    answer: str | None = None
    text: msgspec.Raw = msgspec.Raw(b"null")
    correct: bool | None = None
    gold: msgspec.Raw = msgspec.Raw(b"null")
    asked: str = ""
    candidates: tuple[_Candidate, ...] = ()
    decisions: msgspec.Raw = msgspec.Raw(b"[]")
    elapsed: float = 0.0
    sitting: float = 0.0


_DECODER = msgspec.json.Decoder(_Line)


def brief(line: bytes) -> Brief:
    """The record of a line in short, as `Record.file_key` and `Record.outcome` have it.

    Raises:
        ValueError: It is no record.
    """
    try:
        found = _DECODER.decode(line)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from error
    correct = found.correct
    outcome = Outcome(
        found.id,
        found.repeat,
        found.status,
        bool(correct),
        bool(correct) or any(one.correct for one in found.candidates),
        found.answer is not None,
        found.usage,
        found.elapsed,
        found.limit,
        correct is not None,
        found.asked,
    )
    return Brief(Key(found.configuration, found.id, found.repeat), outcome)
