"""What a picture of a search tree says, in words and numbers; as a page or as text is for others.

A tree alone is enough. With its record it is also known which answers are right and what it all
cost; with the question, what was asked.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import networkx as nx

from tts.evaluation.records import Record
from tts.evaluation.tree_graph import shape, tree_graph
from tts.evaluation.trees import TreeRecord
from tts.types import Score, Usage


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a node at which a candidate ends.

    Attributes:
        answer: The answer in it; None if none could be extracted.
        correct: Whether it is right; None if nobody knows.
        copies: How many candidates end here, at least 1.
    """

    answer: str | None
    correct: bool | None
    copies: int

    @property
    def mark(self) -> str:
        """A sign for right, wrong or not graded."""
        return {True: "✓", False: "✗", None: "·"}[self.correct]

    def __str__(self) -> str:
        times = f" ×{self.copies}" if self.copies > 1 else ""
        return f"{self.mark} {one_line(self.answer or 'no answer')}{times}"


@dataclass(frozen=True)
class Exhibit:
    """A search tree, and what is known of it.

    Args:
        tree: As kept, or `TreeRecord.of(result, "")`.
        record: What came of the same problem, if it was graded.
        question: What was asked; empty where it is not known.
    """

    tree: TreeRecord
    record: Record | None = None
    question: str = ""

    @cached_property
    def graph(self) -> nx.DiGraph[int]:
        """The tree as a graph."""
        return tree_graph(self.tree)

    @cached_property
    def verdicts(self) -> dict[int, Verdict]:
        """By the node at which it ends, what came of a candidate; empty where none was graded."""
        if self.record is None or self.record.failed:
            return {}
        copies = Counter(self.tree.candidates)
        pairs = zip(self.tree.candidates, self.record.candidates, strict=True)
        return {place: Verdict(c.answer, c.correct, copies[place]) for place, c in pairs}

    @cached_property
    def tones(self) -> dict[int, float]:
        """By node, its score from 0 to 1; nodes without one are missing.

        Probabilities, and logits as probabilities; rewards between the least and the greatest one
        of the tree.
        """
        scores = {i: node.score.score for i, node in enumerate(self.tree.nodes) if node.score}
        return {place: self._tone(score) for place, score in scores.items()}

    @cached_property
    def ends(self) -> tuple[float, float]:
        """The scores whose tones are 0 and 1, on the verifier's own scale but for logits."""
        found = [node.score for node in self.tree.nodes if node.score]
        rewards = [s.raw for s in found if s.scale == "reward" and math.isfinite(s.raw)]
        return (min(rewards), max(rewards)) if rewards else (0.0, 1.0)

    @property
    def name(self) -> str:
        """The problem, its repetition and the arm."""
        repeat = f"#{self.tree.repeat}" if self.tree.repeat else ""
        arm = f", {self.record.arm}" if self.record else ""
        return f"{self.tree.problem_id}{repeat}{arm}"

    @property
    def outcome(self) -> str:
        """What came of it, in a sentence or two; empty without a record."""
        record = self.record
        if record is None:
            return ""
        if record.failed:
            return f"A fault ended it: {record.error.rstrip('.')}."
        right = "" if record.gold is None else f"; {record.gold} is right"
        if record.answer is None:
            said = f"There is no answer{right}."
        elif record.correct is None:
            said = f"The answer is {record.answer}; nobody knows whether it is right."
        elif record.correct:
            said = f"The answer is {record.answer}, which is right."
        else:
            said = f"The answer is {record.answer}, which is wrong{right}."
        limit = f" The budget ended it: {record.limit}." if record.limit else ""
        untold = record.answer is not None and self.tree.chosen is None
        return (
            said
            + limit
            + (" An older version did not keep which candidate it is." if untold else "")
        )

    @property
    def facts(self) -> Iterator[tuple[str, str]]:
        """Names and values: size, costs, and what the strategy told of its search."""
        found = shape(self.graph)
        pieces, leaves = _many(found.nodes, "piece"), _many(found.leaves, "leaf", "leaves")
        yield "tree", f"{pieces}, {leaves}, depth {found.depth}"
        if found.depth > 1:
            yield "pieces by depth", _told(found.widths)
        if self.record:
            yield "cost", str(Usage(**self.record.usage))  # type: ignore[arg-type]
        for name, value in self.tree.details.items():
            yield name.replace("_", " "), _told(value)

    def about(self, node: int) -> str:
        """What is known of a node but for its text: score, end, clock, tokens, candidate, key."""
        at = self.graph.nodes[node]
        parts = [f"depth {at['depth']}"]
        if "score" in at:
            parts.append(f"score {at['score']:.4g} ({at['scale']})")
        parts.append(f"ended by {at['finish']}" if "finish" in at else "open")
        if at["origin"] != "model":
            parts.append(at["origin"])
        parts.append(f"clock {at['clock']:,}")
        if "tokens" in at:
            parts.append(_many(at["tokens"], "token"))
        if node in self.verdicts:
            parts.append(str(self.verdicts[node]))
        elif at["candidates"]:
            parts.append("candidate")
        return " · ".join([*parts, f"key {at['key']}"])

    def _tone(self, score: Score) -> float:
        if score.scale != "reward":
            return score.probability
        low, high = self.ends
        return min(1.0, max(0.0, (score.raw - low) / (high - low))) if high > low else 0.5


def one_line(text: str) -> str:
    """A text without line breaks, and without what would move a terminal's cursor."""
    return "".join(c if c.isprintable() else "·" for c in " ".join(text.split()))


def _many(number: int, one: str, more: str = "") -> str:
    return f"{number:,} {one if number == 1 else more or one + 's'}"


def _told(value: Any) -> str:
    """A value of JSON types, short enough to be read."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_told(each)}" for key, each in value.items())
    if isinstance(value, list | tuple):
        nested = any(isinstance(each, list | tuple | dict) for each in value)
        told = [f"[{_told(each)}]" if nested else _told(each) for each in value]
        return ", ".join(told) if nested else " ".join(told)
    return value if isinstance(value, str) else json.dumps(value)
