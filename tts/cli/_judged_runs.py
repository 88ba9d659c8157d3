"""The samples of finished runs with a verifier's scores, kept or made anew, by arm."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tts._author import Author
from tts.cli._judges import check_judge, only, started
from tts.cli.adjust import adjusted
from tts.cli.build import build
from tts.errors import ConfigError
from tts.evaluation.rescoring import Judge, Offline
from tts.evaluation.samples import Samples, read_run
from tts.protocols import Verifier
from tts.types import Scale

if TYPE_CHECKING:
    from rich.progress import Progress

    from tts.evaluation.estimators import Pool


@dataclass(frozen=True)
class Arm:
    """The samples of one arm of one run.

    Attributes:
        folder: Of the run.
        name: Of the arm.
        samples: One each a problem.
        pools: By problem, what became of them.
        scale: Of the scores; None if there are none.
        verifier: That scored them anew; None for kept scores.
    """

    folder: Path
    name: str
    samples: Sequence[Samples]
    pools: Mapping[str, Pool]
    scale: Scale | None
    verifier: Verifier | None

    @property
    def levels(self) -> dict[str, str]:
        """By problem the level that its task gives it."""
        found = ((s.problem.id, s.problem.metadata.get("level")) for s in self.samples)
        return {name: str(level) for name, level in found if level is not None}

    @property
    def author(self) -> Author:
        """The model that wrote them.

        Raises:
            ConfigError: The run does not tell, or several models wrote.
        """
        return Author.recorded(only(self.folder, "backends", "Take a run of one model."))

    @property
    def judge(self) -> dict[str, Any]:
        """The identity of the verifier that scored them.

        Raises:
            ConfigError: The run does not tell, or several verifiers scored.
        """
        if self.verifier is not None:
            return json.loads(json.dumps(self.verifier.identity()))  # type: ignore[no-any-return]
        return only(self.folder, "verifiers", "Name the one to score anew with: verifier=prm.")


async def arms_of(
    folders: Sequence[Path],
    overrides: Sequence[str],
    *,
    arm: str | None,
    scored: bool,
    config_dir: Path | None,
    bars: Progress,
) -> list[Arm]:
    """Read runs, grade their samples, and score them anew if the overrides name a verifier.

    Args:
        folders: Of the runs.
        overrides: Of task and verifier, as for `tts run`.
        arm: Only this one.
        scored: Whether arms without scores are left out.
        config_dir: A folder of further configurations.
        bars: Show how far it is.

    Raises:
        ConfigError: A folder holds no such samples, or the verifier does not fit them.
        TTSError: The verifier failed.
    """
    found: list[Arm] = []
    for folder in folders:
        reading = bars.add_task(f"Reading {folder}", total=None)
        config = adjusted(folder, overrides, config_dir)
        verifier: Verifier | None = build("verifier", config["verifier"])
        task = build("task", config["task"])
        samples = read_run(folder, {item.problem.id: item.problem for item in task})
        mine = _chosen(folder, samples, arm, scored and verifier is None)
        check_judge(verifier, folder, mine)
        bars.remove_task(reading)
        judge = Judge(task.answers, task.grade, verifier)
        async with started(verifier):
            found += [await _arm(folder, name, each, judge, bars) for name, each in mine.items()]
    return found


def _chosen(
    folder: Path, arms: Mapping[str, list[Samples]], arm: str | None, scored: bool
) -> dict[str, list[Samples]]:
    """The arm that was asked for, or all; of them those with scores, if it must be."""
    mine = {name: each for name, each in arms.items() if arm in (None, name)}
    if not mine:
        raise ConfigError(f"{folder} has no arm {arm!r}.", hint=f"There are: {', '.join(arms)}.")
    if scored:
        mine = {name: each for name, each in mine.items() if _has_scores(each)}
    if not mine:
        raise ConfigError(
            f"{folder} holds samples, and no scores of them.",
            hint="Name a verifier to score them with, such as verifier=prm.",
        )
    return mine


async def _arm(
    folder: Path, name: str, samples: Sequence[Samples], judge: Judge, bars: Progress
) -> Arm:
    bar = bars.add_task(f"Judging {name}", total=len(samples))
    pools = await judge.pools(samples, partial(bars.advance, bar))
    scale = await _scale(samples, judge)
    return Arm(folder, name, samples, pools, scale, judge.verifier)


async def _scale(samples: Sequence[Samples], judge: Judge) -> Scale | None:
    """What kind of number the scores are: they are all of one kind."""
    first = samples[0]
    if judge.verifier is None:
        kept = first.trajectories[0].score
        return kept.scale if kept else None
    context = Offline(first.problem.id, judge.answers)
    (score,) = await judge.verifier.score(first.problem, first.trajectories[:1], context)
    return score.scale


def _has_scores(samples: Sequence[Samples]) -> bool:
    return all(t.score is not None for each in samples for t in each.trajectories)
