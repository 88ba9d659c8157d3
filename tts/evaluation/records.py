"""What is kept of a solved problem: one record, one line of `results.jsonl`.

Texts are not here but in the tree beside it (`tts.evaluation.trees`), so that the records of ten
thousand problems can be read in seconds. The gold answer stands in the record, on disk; a strategy
or verifier never sees one.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field

from tts.budget.limits import TOTAL
from tts.types import Candidate, Grant, Result, Score, Status, Stop, Usage

Grade = Callable[[str], Awaitable[bool]]
"""Says whether an answer to the problem at hand is right."""

Fields = dict[str, object]
"""Of a part of a record; they are checked when the record is made, all at once."""


class Key(NamedTuple):
    """What a record is filed under.

    Attributes:
        configuration: Hash of all that decides the outcome.
        problem_id: Of the problem.
        repeat: Which independent repetition.
    """

    configuration: str
    problem_id: str
    repeat: int


class ScoreRecord(BaseModel):
    """A verifier's judgement."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    raw: float = Field(description="As the verifier gave it.")
    scale: Literal["probability", "logit", "reward"] = Field(description="What it is.")

    @classmethod
    def of(cls, score: Score | None) -> Self | None:
        """The record of a score, if there is one."""
        return cls(raw=score.raw, scale=score.scale) if score else None

    @property
    def score(self) -> Score:
        """The score."""
        return Score(self.raw, self.scale)


class CandidateRecord(BaseModel):
    """One answer that a strategy looked at. What it says stands in the tree, in the same order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    answer: str | None = Field(description="The answer in it; null if none could be extracted.")
    key: str | None = Field(description="Equal answers have equal keys.")
    correct: bool | None = Field(
        description="Whether it is right; an answer of null is not. Null if that is not known."
    )
    score: ScoreRecord | None = Field(description="What the verifier said; null if none was asked.")
    finish: str | None = Field(description="Why it ended: stop, step, length or abort.")
    clock: int = Field(description="Sequential tokens at which it was known.")


class DecisionRecord(BaseModel):
    """One decision of the controller, and what it rested on, as `tts.types.Basis`.

    What was seen is written down here and not referred to: a strategy may show others than its
    final candidates, and a problem that failed has none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    samples: int = Field(ge=0, description="How many more it granted; 0 is a stop.")
    reason: str = Field(description="Why, in the controller's words.")
    by: Literal["controller", "desk", "nobody"] = Field(
        default="controller", description="Who decided; nobody where the problem left before."
    )
    shared: bool = Field(default=False, description="Whether problems shared the desk.")
    asked: int = Field(default=0, description="Turn of the desk at which it asked; 0: unknown.")
    turn: int = Field(default=0, description="Turn at which it was decided.")
    wants: int = Field(default=0, description="How many samples were wanted.")
    kept: int = Field(
        default=0,
        description="How many of the samples seen at the decision before were seen again.",
    )
    seen: tuple[str | None, ...] = Field(
        default=(), description="Keys of the answers seen after them; null where none was found."
    )
    scores: tuple[ScoreRecord | None, ...] = Field(
        default=(), description="What the verifier said of those; empty if none was asked."
    )
    cost: dict[str, int | float] = Field(
        default={}, description="What the problem had cost by then, without zeros."
    )
    left: dict[str, float | None] = Field(
        default={}, description="What the controller read of the pot; null is unlimited."
    )
    spent: dict[str, int | float] | None = Field(
        default=None, description="What the pot had paid, without zeros, if it was looked at."
    )
    present: int = Field(default=1, description="Problems being solved at that desk.")
    coming: int | None = Field(default=None, description="Problems that had not begun, if known.")


class Record(BaseModel):
    """One problem, solved once under one configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_by_name=True)

    configuration: str = Field(description="Hash of all that decides the outcome.")
    problem_id: str = Field(
        validation_alias="id", serialization_alias="id", description="Of the problem."
    )
    repeat: int = Field(default=0, description="Which independent repetition.")
    arm: str = Field(description="Label under which it was first run.")
    status: Status = Field(description="done, exhausted (the budget ended it) or failed.")
    limit: str = Field(default="", description="The field of the budget that ran out.")
    error: str = Field(default="", description="What went wrong, if it failed.")
    answer: str | None = Field(default=None, description="The final answer; null if none.")
    text: str | None = Field(
        default=None, description="All that the final answer says, if it was to be kept here."
    )
    correct: bool | None = Field(
        default=None, description="Null if it failed, or if no right answer is known: not wrong."
    )
    gold: str | None = Field(default=None, description="The right answer, if one is known.")
    asked: str = Field(default="", description="Hash of what was asked; empty: not known.")
    usage: dict[str, int | float] = Field(description="What it cost, as `tts.Usage`.")
    candidates: tuple[CandidateRecord, ...] = Field(default=(), description="As sampled.")
    decisions: tuple[DecisionRecord, ...] = Field(default=(), description="As decided.")
    seed: int = Field(description="Of the run.")
    elapsed: float = Field(
        default=0.0, description="Wall clock of this arm (s) when the problem ended, all sittings."
    )
    sitting: float = Field(
        default=0.0, description="Wall clock of this arm (s) when this sitting of it began."
    )

    @property
    def file_key(self) -> Key:
        """What it is filed under."""
        return Key(self.configuration, self.problem_id, self.repeat)

    @property
    def failed(self) -> bool:
        """Whether a fault ended the problem, so that it says nothing of the strategy."""
        return self.status == "failed"

    @property
    def outcome(self) -> Outcome:
        """What the statistics need of it."""
        covered = bool(self.correct) or any(c.correct for c in self.candidates)
        return Outcome(
            problem_id=self.problem_id,
            repeat=self.repeat,
            status=self.status,
            correct=bool(self.correct),
            covered=covered,
            answered=self.answer is not None,
            graded=self.correct is not None,
            usage=Usage(**self.usage),  # type: ignore[arg-type]
            elapsed=self.elapsed,
            limit=self.limit,
            asked=self.asked,
        )

    def line(self) -> bytes:
        """The record as a line of a file, without its end."""
        return self.model_dump_json(by_alias=True).encode()

    @classmethod
    def failure(cls, result: Result, error: Exception, **about: object) -> Self:
        """The record of a problem that a fault ended.

        Args:
            result: What came of it.
            error: The fault.
            **about: The fields that the result does not know: arm, configuration, gold, ...
        """
        return cls.model_validate(
            {
                **about,
                **_common(result),
                "status": "failed",
                "error": f"{type(error).__name__}: {error}",
            }
        )

    @classmethod
    async def ended(cls, result: Result, grade: Grade | None, **about: object) -> Self:
        """The record of a problem that came to an end.

        Args:
            result: What came of it.
            grade: Grades an answer; asked once for each different text. None if no right answer is
                known.
            **about: The fields that the result does not know: arm, configuration, gold, ...

        Raises:
            GradingError: An answer could not be graded.
        """
        texts = {c.answer.text for c in result.candidates if c.answer}
        if result.answer is not None:
            texts.add(result.answer)
        marks = {text: await grade(text) for text in sorted(texts)} if grade else None
        return cls.model_validate(
            {
                **about,
                **_common(result),
                "answer": result.answer,
                "correct": _mark(result.answer, marks),
                "candidates": [_candidate(c, marks) for c in result.candidates],
            }
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the statistics need of a record; small, as ten thousands of them are held in memory.

    Attributes:
        problem_id: Of the problem.
        repeat: Which independent repetition.
        status: As in the record.
        correct: Whether the final answer is right; False if it failed, or was not graded.
        covered: Whether any candidate is right, chosen or not.
        answered: Whether there is a final answer.
        usage: What it cost.
        elapsed: Wall clock of the arm (s) when it ended.
        limit: The field of the budget that ran out, or empty.
        graded: Whether anybody knows if it is right.
        asked: Hash of what was asked; empty if it is not known.
    """

    problem_id: str
    repeat: int
    status: Status
    correct: bool
    covered: bool
    answered: bool
    usage: Usage
    elapsed: float
    limit: str = ""
    graded: bool = True
    asked: str = ""

    @property
    def failed(self) -> bool:
        """Whether a fault ended the problem."""
        return self.status == "failed"

    @property
    def starved(self) -> bool:
        """Whether it got nothing, as the budget of all problems together was spent."""
        nothing = not (self.usage.calls or self.usage.verifier_calls)
        return nothing and self.limit.startswith(TOTAL)


def _common(result: Result) -> dict[str, object]:
    return {
        "problem_id": result.problem_id,
        "repeat": result.repeat,
        "status": result.status,
        "limit": result.limit,
        "usage": result.usage.as_dict(),
        "decisions": _decisions(result.decisions),
    }


def _mark(answer: str | None, marks: Mapping[str, bool] | None) -> bool | None:
    if marks is None:
        return None
    return answer is not None and marks[answer]


def _score(score: Score | None) -> Fields | None:
    """The fields of a `ScoreRecord`, if there is a score."""
    return {"raw": score.raw, "scale": score.scale} if score else None


def _candidate(candidate: Candidate, marks: Mapping[str, bool] | None) -> Fields:
    """The fields of a `CandidateRecord`."""
    answer, node = candidate.answer, candidate.trajectory
    return {
        "answer": answer.text if answer else None,
        "key": answer.key if answer else None,
        "correct": _mark(answer.text if answer else None, marks),
        "score": _score(candidate.score),
        "finish": node.finish,
        "clock": node.clock,
    }


def _decisions(decisions: Sequence[Grant | Stop]) -> list[Fields]:
    """The fields of the `DecisionRecord`s."""
    found: list[Fields] = []
    before: tuple[Candidate, ...] = ()
    for decision in decisions:
        samples = decision.samples if isinstance(decision, Grant) else 0
        if (basis := decision.basis) is None:
            found.append({"samples": samples, "reason": decision.reason})
            continue
        shown = basis.evidence.candidates
        same = map(operator.is_, before, shown)
        kept = sum(1 for _ in takewhile(bool, same))
        new, before = shown[kept:], shown
        scores = tuple(_score(c.score) for c in new)
        found.append(
            {
                "samples": samples,
                "reason": decision.reason,
                "by": basis.by,
                "shared": basis.shared,
                "asked": basis.asked,
                "turn": basis.turn,
                "wants": basis.evidence.wants,
                "kept": kept,
                "seen": tuple(c.answer.key if c.answer else None for c in new),
                "scores": scores if any(scores) else (),
                "cost": _without_zeros(basis.evidence.usage),
                "left": {k: None if v == math.inf else v for k, v in basis.left.items()},
                "spent": None if basis.spent is None else _without_zeros(basis.spent),
                "present": basis.present,
                "coming": basis.coming,
            }
        )
    return found


def _without_zeros(usage: Usage) -> dict[str, int | float]:
    return {name: value for name, value in usage.as_dict().items() if value}
