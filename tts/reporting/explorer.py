"""The problems of a page, one by one: question, answers, costs, decisions, traces and trees.

A page must stay small enough for a telephone. Texts share a room of characters: each problem gets
an equal part of what is left, for traces first, then for trees; what finds no room is not shown,
and the page says how to see it. Trees are read one at a time, and only here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from markupsafe import Markup
from pydantic import ValidationError

from tts.errors import ConfigError
from tts.evaluation.records import Record
from tts.evaluation.store import Trees
from tts.evaluation.tree_exhibit import Exhibit, one_line
from tts.evaluation.tree_page import tree_svg
from tts.evaluation.trees import TreeRecord
from tts.reporting.boards import Arm, Board
from tts.reporting.reading import Run, records_of
from tts.reporting.visible import cut, visible
from tts.types import Usage

QUESTION, TRACE, ANSWER, ERROR = 3000, 4000, 400, 600
"""Most characters of each, before something is cut out of its middle."""
_NODES = 60  # of a tree that is drawn
_NODE = 300  # characters of a node that its picture tells
_DECISIONS = 12
_ATTEMPT, _PIECE, _BOX = 600, 200, 700  # characters of the markup of each, about


@dataclass(frozen=True, slots=True)
class Piece:
    """A step of a trace.

    Attributes:
        text: As written, cut if need be.
        score: What the verifier said of it; empty if nothing.
        origin: Who wrote it: model, injected or forced.
        tone: The score from 0 to 1, None without one.
    """

    text: str
    score: str
    origin: str
    tone: float | None


@dataclass
class Attempt:
    """What an arm made of a problem.

    Attributes:
        arm: Which.
        record: As kept.
        mark: right, wrong, failed or ungraded.
        cost: In words.
        trace: Pieces of the chosen answer.
        tree: Picture of the search, where there is more than one piece.
        untold: Why trace or tree is missing, if it is.
    """

    arm: Arm
    record: Record
    mark: str
    cost: str
    trace: Sequence[Piece] = ()
    tree: Markup | None = None
    untold: str = ""

    @property
    def answer(self) -> str:
        """Cut, in one line."""
        return "no answer" if self.record.answer is None else cut(self.record.answer, ANSWER)

    @property
    def error(self) -> str:
        """Cut."""
        return cut(self.record.error, ERROR)

    @property
    def decisions(self) -> Iterator[str]:
        """What the controller decided, the first few."""
        told = self.record.decisions
        for each in told[:_DECISIONS]:
            granted = f"granted {each.samples}" if each.samples else "stopped"
            wants = f" of {each.wants}" if each.wants else ""
            reason = f": {cut(each.reason, ERROR)}" if each.reason else ""
            yield granted + wants + reason
        if len(told) > _DECISIONS:
            yield f"and {len(told) - _DECISIONS} more"

    @property
    def opens(self) -> bool:
        """Whether there is more to it than a line."""
        return bool(self.trace or self.tree or self.record.decisions or self.untold)


@dataclass
class Shown:
    """A problem on the page.

    Attributes:
        id: Of the problem.
        question: As asked, cut; empty where it is not known.
        gold: The right answer; None where nobody knows it.
        level: That the task gives it, or empty.
        attempts: Of the arms, in their order; repeats one after the other.
    """

    id: str
    question: str
    gold: str | None
    level: str
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def marks(self) -> str:
        """How many attempts ended how, the commonest words last."""
        found = [attempt.mark for attempt in self.attempts]
        kinds = [kind for kind in ("right", "wrong", "failed", "ungraded") if kind in found]
        return ", ".join(f"{found.count(kind)} {kind}" for kind in kinds)


def explore(
    board: Board,
    problems: Sequence[str],
    questions: Mapping[str, str],
    levels: Mapping[str, str],
    room: int,
) -> list[Shown]:
    """Gather what is shown of some problems.

    Args:
        board: What was tried.
        problems: Ids.
        questions: By problem, where they are known.
        levels: By problem, where there are any.
        room: Characters for traces and trees.

    Raises:
        ConfigError: A line of the results is no record.
    """
    golds = board.golds
    found = {
        name: Shown(
            name, cut(questions.get(name, ""), QUESTION), golds.get(name), levels.get(name, "")
        )
        for name in problems
    }
    for attempt in _attempts(board, frozenset(problems)):
        found[attempt.record.problem_id].attempts.append(attempt)
    trees = {run.source.name: _trees(run) for run in board.runs}
    left = room
    for place, shown in enumerate(found.values()):
        left -= _tell(shown, trees, left // (len(found) - place))
    return list(found.values())


def _attempts(board: Board, problems: frozenset[str]) -> list[Attempt]:
    arms = {(arm.run.source.name, arm.read.configuration): arm for arm in board.arms}
    found = []
    for run in board.runs:
        for record in records_of(run.source, problems):
            arm = arms.get((run.source.name, record.configuration))
            if arm is not None:  # else it was written after we had read the run
                cost = str(Usage(**record.usage))  # type: ignore[arg-type]
                found.append(Attempt(arm, record, _mark(record), cost))
    return sorted(found, key=lambda a: (a.arm.number, a.record.repeat))


def _mark(record: Record) -> str:
    if record.failed:
        return "failed"
    return {True: "right", False: "wrong", None: "ungraded"}[record.correct]


def _trees(run: Run) -> Trees | None:
    try:
        return Trees(run.source.folder)
    except ConfigError:  # no texts were kept
        return None


def _tell(shown: Shown, trees: Mapping[str, Trees | None], room: int) -> int:
    """Add traces and trees to the attempts at a problem; return the characters they take."""
    taken = _ATTEMPT * len(shown.attempts)
    told = _traced(shown, trees, taken + (room - taken) * 3 // 5)
    taken += sum(len(piece.text) + _PIECE for attempt, _ in told for piece in attempt.trace)
    for attempt, exhibit in told:
        size = 0 if exhibit is None else len(exhibit.tree.nodes)
        if exhibit is None or size < 2:
            continue
        if size > _NODES:
            attempt.untold = f"a tree of {size:,} pieces is too large for here"
        elif taken + size * _BOX > room:
            attempt.untold = "the tree is left out to keep this page small"
        else:
            attempt.tree = tree_svg(_slim(exhibit))
            taken += len(attempt.tree)
    return taken


def _traced(
    shown: Shown, trees: Mapping[str, Trees | None], room: int
) -> list[tuple[Attempt, Exhibit | None]]:
    """Add traces to the attempts at a problem as long as there is room; return those with one."""
    taken = _ATTEMPT * len(shown.attempts)
    told = []
    for attempt in shown.attempts:
        exhibit = _exhibit(attempt, trees[attempt.arm.run.source.name])
        pieces = _trace(exhibit, attempt.record)
        size = sum(len(piece.text) + _PIECE for piece in pieces)
        if size and taken + size > room:
            attempt.untold = "left out to keep this page small"
            continue
        attempt.trace = pieces
        taken += size
        told.append((attempt, exhibit))
    return told


def _exhibit(attempt: Attempt, trees: Trees | None) -> Exhibit | None:
    record = attempt.record
    if trees is None or record.file_key not in trees:
        return None
    try:
        tree = trees[record.file_key]
    except ValidationError:  # of another version
        return None
    # Without as many candidates it is not the tree of this record, and tells nothing of its answer.
    return Exhibit(tree, record) if len(tree.candidates) == len(record.candidates) else None


def _trace(exhibit: Exhibit | None, record: Record) -> list[Piece]:
    """The pieces on the way to the final answer; together at most `TRACE` characters."""
    if exhibit is None:
        return [Piece(cut(record.text, TRACE), "", "model", None)] if record.text else []
    end = _end(exhibit.tree, record)
    path: list[int] = []
    while end is not None and end >= 0:
        path.append(end)
        end = exhibit.tree.nodes[end].parent
    most = max(200, TRACE // max(1, len(path)))
    return [_piece(exhibit, place, most) for place in reversed(path)]


def _end(tree: TreeRecord, record: Record) -> int | None:
    """The last node of the final answer; where an old run did not keep it, a candidate alike."""
    if tree.chosen is not None:
        return tree.chosen
    pairs = zip(tree.candidates, record.candidates, strict=False)
    return next((place for place, c in pairs if c.answer == record.answer), None)


def _piece(exhibit: Exhibit, place: int, most: int) -> Piece:
    node = exhibit.tree.nodes[place]
    score = f"{node.score.raw:.3g}" if node.score else ""
    return Piece(cut(node.text, most), score, node.origin, exhibit.tones.get(place))


def _slim(exhibit: Exhibit) -> Exhibit:
    """The same tree with its texts fit for a picture."""
    nodes = tuple(
        node.model_copy(update={"text": visible(cut(node.text, _NODE)), "key": one_line(node.key)})
        for node in exhibit.tree.nodes
    )
    return replace(exhibit, tree=exhibit.tree.model_copy(update={"nodes": nodes}))
