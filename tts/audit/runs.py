"""Texts of a finished run, to be audited as if they had just been written.

A run that kept its tokens (keep=tokens) holds, node by node, what its model wrote; the rest of a
draw follows from names: its seed is the hash of the run's seed, the problem, the node before and
the number of the child, and that number is the one which makes the key that was recorded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from tts.audit.collect import Written
from tts.errors import ConfigError
from tts.evaluation.chains import kept
from tts.evaluation.trees import NodeRecord, TreeRecord
from tts.seeds import derive
from tts.types import Problem, Sampling, Segment, Trajectory

_CHILDREN = 4096  # numbers that are tried


def written_in(
    folder: Path, arm: str, problems: Mapping[str, Problem], sampling: Sampling
) -> list[Written]:
    """What the model wrote in an arm of a run.

    Args:
        folder: Of the run.
        arm: Its label.
        problems: By id.
        sampling: How tokens were drawn.

    Returns:
        In the order of the records; texts without tokens are left out.

    Raises:
        ConfigError: The folder holds no such arm or no tokens, or a problem is unknown.
    """
    records, trees = kept(folder, arm)
    found: list[Written] = []
    for record in records:
        if record.problem_id not in problems:
            raise ConfigError(
                f"The task has no problem {record.problem_id!r}, which {folder} holds texts of.",
                hint="Choose the task, and the part of it, that was run.",
            )
        problem = replace(problems[record.problem_id], repeat=record.repeat)
        texts = _nodes(trees[record.file_key], problem, record.seed, sampling)
        found += [each for each in texts if each.text.tokens]
    if not found:
        raise ConfigError(
            f"{folder} kept no tokens, and an audit needs those that were drawn.",
            hint="Run it with keep=tokens.",
        )
    return found


def _nodes(tree: TreeRecord, problem: Problem, seed: int, sampling: Sampling) -> Iterator[Written]:
    """What the model wrote, node by node."""
    built: list[Trajectory] = []
    for number, node in enumerate(tree.nodes):
        before = built[node.parent] if node.parent >= 0 else Trajectory.root()
        text = Segment(node.text, node.tokens, node.tokenizer, origin=node.origin)
        built.append(replace(before.extend(text, child=number, clock=0), key=node.key))
        if node.origin == "model":
            drawn = _seed(problem, seed, before, node)
            yield Written(problem, before, text, sampling, drawn)


def _seed(problem: Problem, seed: int, before: Trajectory, node: NodeRecord) -> int | None:
    """The seed of a node's draw; None if no child number makes its key."""
    empty = Segment("")
    for child in range(_CHILDREN):
        if before.extend(empty, child=child, clock=0).key == node.key:
            return derive(seed, problem.id, problem.repeat, before.key, child)
    return None
