"""`tts report`: runs side by side on one page, with figures and a table for a paper."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tts.cli.options import Parser
from tts.errors import ConfigError, TTSError

if TYPE_CHECKING:
    from tts.reporting.contents import Contents, Lore
    from tts.types import Problem

_ABOUT = """\
Write a report of runs: one HTML page that needs no network. It holds accuracy against each
component of compute, claims, a table of all arms, accuracy by difficulty, what verifiers are worth,
failures, and problems one by one: those that failed first, then those on which arms disagree.
RESULTS are folders of runs or of sweeps, finished or not, and of batches; a folder such as
`outputs` is searched for them. Runs on the same problems stand on one board, where the first arm is
what all others are compared with. Nothing is generated, and nothing in RESULTS is changed."""

_EXAMPLES = """\
examples:
  tts report outputs/demo
  tts report outputs/sweep outputs/demo --out compare.html --title "Votes and trees"
  tts report outputs/demo --figures paper/figures       (PNG, SVG, and the table as LaTeX)
  tts report answers/ --problems 500                    (of a batch)"""


def main(arguments: Sequence[str]) -> int:
    """Run `tts report`.

    Args:
        arguments: What stands behind the command.

    Returns:
        The exit code.

    Raises:
        ConfigError: There is no run, or one cannot be read.
    """
    asked = _read(arguments)
    # Late: help and slips of the pen are answered at once.
    from tts.evaluation.store import write_atomically
    from tts.reporting.contents import gather
    from tts.reporting.page import page

    contents = gather(asked.results, lore, asked.problems)
    write_atomically(asked.out, page(contents, asked.title))
    _say(contents, asked.out)
    if asked.figures:
        from tts.reporting.figures import write_figures

        written = write_figures(contents, asked.figures)
        print(f"{asked.figures} holds {len(written)} figures and tables.")
    return 0


def lore(folder: Path, golds: Mapping[str, str | None], wanted: frozenset[str]) -> Lore:
    """What the task of a run tells of its problems.

    Args:
        folder: Of the run.
        golds: The right answer by problem; where the task says otherwise, it has changed since.
        wanted: Problems whose questions are wanted.
    """
    from tts.cli.adjust import adjusted
    from tts.cli.build import build
    from tts.reporting.contents import Lore

    questions: dict[str, str] = {}
    levels: dict[str, str] = {}
    try:
        for item in build("task", adjusted(folder, (), None)["task"]):
            problem = item.problem
            if problem.id not in golds or golds[problem.id] != item.gold:
                continue
            if (level := problem.metadata.get("level")) is not None:
                levels[problem.id] = str(level)
            if problem.id in wanted:
                questions[problem.id] = _asked(problem)
    except (TTSError, OSError) as error:
        return Lore(missing=f"The questions of {folder} are not shown: {error}")
    return Lore(questions, levels)


def _read(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser("report", _ABOUT, _EXAMPLES)
    parser.add_argument(
        "results", metavar="RESULTS", nargs="+", type=Path, help="folders, or files results.jsonl"
    )
    parser.add_argument(
        "--out", metavar="FILE", type=Path, default=Path("report.html"),
        help="the page (report.html); one that is there is replaced",
    )  # fmt: skip
    parser.add_argument("--title", default="", help="of the page")
    parser.add_argument(
        "--problems", metavar="N", type=int, default=100,
        help="most problems that are shown one by one (100)",
    )  # fmt: skip
    parser.add_argument(
        "--figures",
        metavar="DIR",
        type=Path,
        help="write figures and LaTeX tables into this folder",
    )
    asked = parser.parse_args(list(arguments))
    if asked.problems < 0:
        raise ConfigError(f"--problems is {asked.problems}; it must be at least 0.")
    if not asked.out.absolute().parent.is_dir():
        raise ConfigError(f"--out: there is no folder {asked.out.absolute().parent}.")
    if asked.out.is_dir():
        raise ConfigError(
            f"--out: {asked.out} is a folder.", hint="Name a file: --out report.html."
        )
    if asked.figures and asked.figures.exists() and not asked.figures.is_dir():
        raise ConfigError(f"--figures: {asked.figures} is no folder.")
    return asked


def _say(contents: Contents, out: Path) -> None:
    arms = sum(len(section.board.arms) for section in contents.sections)
    runs = len(contents.runs)
    print(f"{out} holds {arms} arms of {runs} {'run' if runs == 1 else 'runs'}.")
    for run in contents.runs:
        if not run.finished:
            print(f"{run.source.folder} is unfinished; the report has what there is.")
    for why in contents.skipped:
        print(f"Left out: {why}")


def _asked(problem: Problem) -> str:
    return problem.prompt or "\n\n".join(message.content for message in problem.messages)
