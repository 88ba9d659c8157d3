"""`tts verifier-report`: what a verifier's scores are worth, and how to make them mean more."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tts.cli.options import Parser
from tts.errors import ConfigError

if TYPE_CHECKING:
    from rich.progress import Progress

    from tts.cli._judged_runs import Arm
    from tts.cli._verifier_fits import Fit
    from tts.evaluation.judged import Judged
    from tts.evaluation.verifier_report import Report

_ABOUT = """\
Say how well a verifier's scores part right answers from wrong ones: how they rank (area under the
ROC curve, over all answers and within a problem), what they mean (calibration), which part of the
wrong answers they let through, and how accurate resampling until the first accepted answer can
become with that. RESULTS are folders of finished runs that kept texts; their scores are taken as
they are, or made anew with verifier=... . Nothing is generated. Take arms of independent samples
(best_of_n): what a search keeps has been chosen by the verifier already. Intervals are 95% over
problems. A table and a picture are written beside the first results."""

_EXAMPLES = """\
examples:
  tts verifier-report outputs/demo --arm best_of_n
  tts verifier-report outputs/demo --arm self_consistency verifier=prm --threshold 0.5
  tts verifier-report outputs/demo --arm best_of_n --fit prm.json --method platt
  tts run verifier=calibrated verifier@verifier.verifier=prm verifier.path=prm.json
  tts verifier-report outputs/mine --fit-probe probe.json     (of a run with keep=tokens)

An OVERRIDE is as for `tts run`; here it changes the task (task.answers, ...) or the verifier."""


def main(arguments: Sequence[str]) -> int:
    """Run `tts verifier-report`.

    Args:
        arguments: What stands behind the command.

    Returns:
        The exit code.

    Raises:
        ConfigError: A folder or an argument cannot be used.
    """
    asked = _read(arguments)
    arms = asyncio.run(_arms(asked))
    # Late: help and slips of the pen are answered at once.
    from tts.evaluation.verifier_report import report

    judged, fit = _judged(asked, arms)
    pools = {} if asked.fit_probe else {label: arm.pools for label, arm in arms.items()}
    reports = {
        label: report(each, threshold=asked.threshold, pools=pools.get(label))
        for label, each in judged.items()
    }
    _show(reports, fit)
    _write(asked, reports, fit)
    return 0


def _read(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser("verifier-report", _ABOUT, _EXAMPLES)
    parser.add_argument("words", metavar="RESULTS|OVERRIDE", nargs="+", help="folders, overrides")
    parser.add_argument("--arm", metavar="NAME", help="only this arm")
    parser.add_argument(
        "--threshold", type=float, metavar="X",
        help="accept answers from this score on; by default the best of these (Youden's index)",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="OUT", help="write all figures to this file")
    parser.add_argument(
        "--fit", type=Path, metavar="FILE",
        help="write a calibration for verifier=calibrated, fitted on half of the problems",
    )  # fmt: skip
    parser.add_argument(
        "--method", choices=("isotonic", "platt"), default="isotonic",
        help="of --fit: any rising curve, or a sigmoid for few answers (isotonic)",
    )  # fmt: skip
    parser.add_argument(
        "--fit-probe", type=Path, metavar="FILE",
        help="write a probe for verifier=probe, fitted on the log-probabilities of half of the"
        " problems",
    )  # fmt: skip
    parser.add_argument("--config-dir", type=Path, metavar="DIR", help="further configurations")
    asked = parser.parse_intermixed_args(list(arguments))
    named = [Path(w) for w in asked.words if "=" not in w or Path(w).exists()]
    asked.folders = list(dict.fromkeys(named))
    asked.overrides = [w for w in asked.words if Path(w) not in asked.folders]
    _check(asked)
    return asked


def _check(asked: argparse.Namespace) -> None:
    if not asked.folders:
        raise ConfigError("No results were named.", hint="Name the folder of a run.")
    for folder in asked.folders:
        if not folder.is_dir():
            raise ConfigError(f"There is no folder {folder}.", hint="Name the folder of a run.")
    if asked.fit and asked.fit_probe:
        raise ConfigError("--fit and --fit-probe are two things.", hint="Do one after the other.")
    for option in ("json", "fit", "fit_probe"):
        path = getattr(asked, option)
        if path and not path.absolute().parent.is_dir():
            name = option.replace("_", "-")
            raise ConfigError(f"--{name}: there is no folder {path.absolute().parent}.")


async def _arms(asked: argparse.Namespace) -> dict[str, Arm]:
    """By the label under which they are shown."""
    from tts.cli._judged_runs import arms_of

    with _moving() as bars:
        found = await arms_of(
            asked.folders,
            asked.overrides,
            arm=asked.arm,
            scored=asked.fit_probe is None,
            config_dir=asked.config_dir,
            bars=bars,
        )
    several = len(asked.folders) > 1
    return {f"{arm.folder}: {arm.name}" if several else arm.name: arm for arm in found}


def _judged(
    asked: argparse.Namespace, arms: Mapping[str, Arm]
) -> tuple[dict[str, Judged], Fit | None]:
    """What there is to report on, and the fit if one was asked for."""
    from tts.cli._verifier_fits import calibrate, train
    from tts.evaluation.judged import Judged

    if asked.fit_probe:
        label, arm = _only(arms)
        fit = train(arm, asked.fit_probe)
        return {f"probe, half of {label}": fit.judged}, fit
    judged = {
        label: Judged.of(arm.pools, probable=arm.scale == "probability", levels=arm.levels)
        for label, arm in arms.items()
    }
    if not asked.fit:
        return judged, None
    label, arm = _only(arms)
    return judged, calibrate(arm, judged[label], asked.method, asked.fit)


def _only(arms: Mapping[str, Arm]) -> tuple[str, Arm]:
    if len(arms) > 1:
        raise ConfigError(
            f"There are {len(arms)} arms to fit on: {', '.join(arms)}.",
            hint="Choose one of one run with --arm.",
        )
    return next(iter(arms.items()))


def _moving() -> Progress:
    """Bars on a terminal, which are gone in the end; nothing elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)


def _show(reports: Mapping[str, Report], fit: Fit | None) -> None:
    from rich.console import Console

    from tts.evaluation.verifier_tables import notes, sheets

    console = Console(highlight=False)
    for sheet in [*sheets(reports), *([fit.sheet] if fit else [])]:
        console.print(sheet.rich(console.width))
        console.print()
    for note in notes(reports):
        console.print(note, style="yellow", markup=False)
    if fit:
        console.print(f"{fit.about} Written to {fit.path}.", markup=False)


def _write(asked: argparse.Namespace, reports: Mapping[str, Report], fit: Fit | None) -> None:
    from tts.evaluation.provenance import command_line
    from tts.evaluation.store import VERIFIER, VERIFIER_PICTURE, write_atomically
    from tts.evaluation.verifier_plot import draw
    from tts.evaluation.verifier_tables import entry, markdown

    folder = asked.folders[0]
    tried = f"\n{fit.sheet.markdown()}\n{fit.about}\n" if fit else ""
    write_atomically(folder / VERIFIER, markdown(reports) + tried)
    draw(reports, folder / VERIFIER_PICTURE)
    if asked.json:
        content = {
            "sources": [str(each) for each in asked.folders],
            "command": command_line(),
            "arms": {label: entry(each) for label, each in reports.items()},
            "fit": {"file": str(fit.path), "about": fit.about, **fit.values} if fit else None,
        }
        write_atomically(asked.json, json.dumps(content, indent=1) + "\n")
    print(f"Written to {folder}: {VERIFIER}, {VERIFIER_PICTURE}.")
