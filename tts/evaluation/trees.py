"""What was written on the way to an answer: one search tree, one line of `trees.jsonl`.

A tree holds every segment once, discarded and aborted branches included, and says which nodes the
candidates of the record are. It knows neither the gold answer nor what was right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from tts.evaluation.records import Key, ScoreRecord
from tts.types import Result, Segment, Trajectory

Keep = Literal["nothing", "texts", "tokens"]
"""How much of a tree is kept: nothing, texts, or texts with token ids and log-probabilities."""


class NodeRecord(BaseModel):
    """One node: what it adds to its parent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    parent: int = Field(default=-1, description="Place of the parent among the nodes; -1: a root.")
    text: str = Field(description="What it adds.")
    key: str = Field(default="", description="Identity of the node by its path of child numbers.")
    origin: Literal["model", "injected", "forced"] = Field(default="model", description="Author.")
    finish: Literal["stop", "step", "length", "abort"] | None = Field(
        default=None, description="Why it ended; null if it was injected."
    )
    clock: int = Field(default=0, description="Sequential tokens at which it was known.")
    score: ScoreRecord | None = Field(default=None, description="What a verifier said of it.")
    tokens: tuple[int, ...] | None = Field(default=None, description="Its token ids, if kept.")
    tokenizer: str | None = Field(default=None, description="Of the token ids.")
    logprobs: tuple[float, ...] | None = Field(
        default=None, description="Log-probabilities (nats) of its tokens, if asked for and kept."
    )


class TreeRecord(BaseModel):
    """The tree of one record, with the same key."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_by_name=True)

    configuration: str = Field(description="As in the record.")
    problem_id: str = Field(
        validation_alias="id", serialization_alias="id", description="As in the record."
    )
    repeat: int = Field(default=0, description="As in the record.")
    nodes: tuple[NodeRecord, ...] = Field(description="Parents stand before their children.")
    candidates: tuple[int, ...] = Field(
        description="For each candidate of the record the place of its node; -1 for an empty one."
    )
    chosen: int | None = Field(
        default=None,
        description="Place of the node of the final answer, -1 for an empty one; null if none.",
    )
    details: dict[str, Any] = Field(
        default_factory=dict, description="What the strategy told of its search, by name."
    )

    @property
    def file_key(self) -> Key:
        """What it is filed under."""
        return Key(self.configuration, self.problem_id, self.repeat)

    @classmethod
    def of(cls, result: Result, configuration: str, *, tokens: bool = False) -> Self:
        """The tree of a result.

        Args:
            result: What came of a problem.
            configuration: Hash of all that decides the outcome.
            tokens: Whether token ids and log-probabilities are kept.
        """
        builder = _Builder(tokens)
        candidates = [builder.place(c.trajectory) for c in result.candidates]
        for leaf in result.tree:
            builder.place(leaf)
        chosen = builder.place(result.best.trajectory) if result.best else None
        return cls(
            configuration=configuration,
            problem_id=result.problem_id,
            repeat=result.repeat,
            nodes=tuple(builder.nodes),
            candidates=tuple(candidates),
            chosen=chosen,
            details=dict(result.details),
        )

    def line(self) -> bytes:
        """The tree as a line of a file, without its end."""
        return self.model_dump_json(by_alias=True, exclude_none=True).encode()

    def trajectories(self) -> list[Trajectory]:
        """The candidates as they were, with scores; log-probabilities where they were kept."""
        built: list[Trajectory] = []
        for number, node in enumerate(self.nodes):
            parent = built[node.parent] if node.parent >= 0 else Trajectory.root()
            segment = Segment(
                node.text, node.tokens, node.tokenizer, node.logprobs, origin=node.origin
            )
            child = parent.extend(segment, child=number, clock=node.clock, finish=node.finish)
            built.append(child.scored(node.score.score) if node.score else child)
        return [built[place] if place >= 0 else Trajectory.root() for place in self.candidates]


class _Builder:
    """Lays nodes out so that a shared prefix is written once."""

    def __init__(self, tokens: bool) -> None:
        self.nodes: list[NodeRecord] = []
        self._tokens = tokens
        self._places: dict[tuple[int, str, str], int] = {}

    def place(self, leaf: Trajectory) -> int:
        """Place of a node, which is written with its ancestors if it is not there; -1: a root."""
        place = -1
        for node in leaf.nodes():
            assert node.segment is not None
            # The key alone would do, but a plug-in may reuse a child number.
            identity = (place, node.key, node.segment.text)
            if identity not in self._places:
                self._places[identity] = len(self.nodes)
                self.nodes.append(self._record(node, node.segment, place))
            place = self._places[identity]
            if node.score and self.nodes[place].score is None:
                score = ScoreRecord.of(node.score)
                self.nodes[place] = self.nodes[place].model_copy(update={"score": score})
        return place

    def _record(self, node: Trajectory, segment: Segment, parent: int) -> NodeRecord:
        kept = segment if self._tokens else Segment(segment.text)
        return NodeRecord(
            parent=parent,
            text=segment.text,
            key=node.key,
            origin=segment.origin,
            finish=node.finish,
            clock=node.clock,
            tokens=kept.tokens,
            tokenizer=kept.tokenizer,
            logprobs=kept.logprobs,
        )


def texts(tree: TreeRecord) -> Sequence[str]:
    """What each candidate says."""
    return [trajectory.text for trajectory in tree.trajectories()]
