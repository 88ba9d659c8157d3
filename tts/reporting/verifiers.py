"""What verifiers are worth, from the scores that runs have kept.

Only arms of independent draws tell: what a search keeps has been chosen by the verifier already. Of
arms that a verifier has scored alike, the one with the most answers speaks.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tts.errors import ConfigError
from tts.evaluation.judged import Judged
from tts.evaluation.verifier_report import Report, report
from tts.reporting.boards import Arm, Board

MOST = 20_000
"""Answers of an arm that are looked at, problem by problem: intervals take a thousand passes."""


def verifier_reports(board: Board, levels: Mapping[str, str]) -> list[tuple[Arm, Report]]:
    """One report for each verifier of each run; none where all answers are right, or all wrong."""
    chosen: dict[tuple[str, str, str | None], Arm] = {}
    for arm in board.arms:
        key = (arm.run.source.name, arm.row.model, arm.row.verifier)
        size = len(arm.read.scores.raws)
        if size and (key not in chosen or size > len(chosen[key].read.scores.raws)):
            chosen[key] = arm
    found = []
    for arm in chosen.values():
        try:
            found.append((arm, report(_judged(arm, levels))))
        except ConfigError:  # nothing to part
            continue
    return found


def _judged(arm: Arm, levels: Mapping[str, str]) -> Judged:
    scores = arm.read.scores
    owner = np.array(scores.owner, dtype=np.intp)
    order = np.argsort(owner, kind="stable")  # the repeats of a problem belong together
    owner = owner[order]
    if len(owner) > MOST:
        end = int(np.searchsorted(owner, owner[MOST])) or MOST
        owner, order = owner[:end], order[:end]
    kept = list(scores.places)[: int(owner[-1]) + 1]
    return Judged(
        problems=tuple(kept),
        owner=owner,
        raws=np.array(scores.raws)[order],
        right=np.array(scores.right, dtype=np.float64)[order],
        levels=tuple(levels.get(name, "") for name in kept),
        silent=scores.silent,
        probable=scores.scales == {"probability"},
    )
