"""`tts rescore`: what other votes, verifiers and graders make of samples that are there already."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tts.cli._thinking import add_thinking, thinking_of
from tts.cli.options import Parser
from tts.errors import ConfigError

if TYPE_CHECKING:
    from rich.progress import Progress
    from rich.table import Table

    from tts.evaluation.rescoring import Judge, Rescored
    from tts.evaluation.samples import Samples
    from tts.evaluation.statistics import Interval

    Found = Mapping[str, tuple[Rescored, Mapping[str, Any]]]

ABOUT = """
Apply votes, verifiers and graders to old samples. Nothing is generated, and no model is asked but
the one that a verifier brings with it. SOURCE is the folder of a run, or a JSONL file of samples
made elsewhere with a problem a line: id, prompt, answer (the right one), samples (texts), and
perhaps scores (one a sample). Out come pass@k, majority, weighted vote and best-of-n at every k,
with 95% intervals over problems.
"""
EXAMPLES = """
  tts rescore outputs/demo
  tts rescore outputs/demo verifier=likelihood --json rescored.json
  tts rescore outputs/thinker --chains
  tts rescore samples.jsonl --json out.json --field samples=completions
  tts rescore samples.jsonl task.answers.fallback_last_number=false --k 1,8,64

An OVERRIDE is as for `tts run`; here it changes the task (task.answers, ...) or the verifier.
"""
_POOR_FIT = 0.02  # in accuracy; a worse curve would mislead whoever reads its limit
METHODS = {
    "pass": "pass@k",
    "majority": "majority",
    "weighted": "weighted vote",
    "best_of_n": "best-of-n",
}


def main(arguments: Sequence[str]) -> int:
    """Run `tts rescore`.

    Args:
        arguments: What stands behind the command.

    Returns:
        The exit code.

    Raises:
        ConfigError: The source or an argument cannot be used.
    """
    asked = _read(arguments)
    found = asyncio.run(_rescored(asked))
    _show(found)
    if asked.json:
        _write(asked.json, found, asked)
    return 0


def _read(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser("rescore", ABOUT, EXAMPLES)
    parser.add_argument("source", metavar="SOURCE", type=Path, help="a run's folder, or a file")
    parser.add_argument("overrides", metavar="OVERRIDE", nargs="*", help="as for `tts run`")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write everything to this file")
    parser.add_argument("--k", type=_numbers, default=(), metavar="K,K", help="numbers of samples")
    parser.add_argument(
        "--field",
        type=_pair,
        action="append",
        default=[],
        metavar="FIELD=NAME",
        help="what a field is called in the file",
    )
    parser.add_argument(
        "--chains",
        action="store_true",
        help="also choose the shortest chain of thought, and others",
    )
    add_thinking(parser)
    parser.add_argument("--config-dir", type=Path, metavar="DIR", help="further configurations")
    asked = parser.parse_intermixed_args(list(arguments))
    if asked.thinking and not asked.chains:
        raise ConfigError("--thinking says nothing without --chains.", hint="Add --chains.")
    if asked.json and not asked.json.absolute().parent.is_dir():
        raise ConfigError(f"--json: there is no folder {asked.json.absolute().parent}.")
    return asked


def _numbers(text: str) -> tuple[int, ...]:
    ks = tuple(int(part) for part in text.split(","))
    if min(ks) < 1:
        raise ValueError
    return ks


def _pair(text: str) -> tuple[str, str]:
    from tts.evaluation.samples import FIELDS

    field, equals, name = text.partition("=")
    if field not in FIELDS or not equals or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not FIELD=NAME with one of {FIELDS}")
    return field, name


async def _rescored(asked: argparse.Namespace) -> Found:
    """By arm: the summary, and what is written of each problem."""
    # Late: help and slips of the pen are answered at once.
    from tts.cli._judges import check_judge, started
    from tts.evaluation.chain_choice import rankings
    from tts.evaluation.rescoring import rescore

    found = {}
    thinking = thinking_of(asked.source, asked.thinking)
    with _moving() as bars:
        reading = bars.add_task("Reading samples", total=None)
        judge, arms = _sources(asked)
        check_judge(judge.verifier, asked.source, arms)
        bars.remove_task(reading)
        async with started(judge.verifier):
            for label, samples in arms.items():
                bar = bars.add_task(f"Judging {label}", total=len(samples))
                pools = await judge.pools(samples, partial(bars.advance, bar))
                problems = {
                    name: {"keys": pool.keys, "correct": pool.correct, "scores": pool.scores}
                    for name, pool in pools.items()
                }
                ranked = await rankings(judge, samples, thinking) if asked.chains else {}
                found[label] = (rescore(pools, asked.k, ranked), problems)
    return found


def _moving() -> Progress:
    """Bars on a terminal, which are gone in the end; nothing elsewhere."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn())
    console = Console(stderr=True)
    return Progress(*columns, TimeRemainingColumn(), console=console, transient=True)


def _sources(asked: argparse.Namespace) -> tuple[Judge, Mapping[str, Sequence[Samples]]]:
    """How to judge, and what, by arm; a file has one arm, named after it."""
    from tts.cli.adjust import adjusted
    from tts.cli.build import build
    from tts.evaluation.rescoring import Judge
    from tts.evaluation.samples import read_run, read_texts
    from tts.tasks import Item, ItemTask

    folder: bool = asked.source.is_dir()
    config = adjusted(asked.source if folder else None, asked.overrides, asked.config_dir)
    verifier = build("verifier", config["verifier"])
    if folder:
        task = build("task", config["task"])
        problems = {item.problem.id: item.problem for item in task}
        return Judge(task.answers, task.grade, verifier), read_run(asked.source, problems)
    samples = read_texts(asked.source, dict(asked.field))
    items = [Item(each.problem, each.gold) for each in samples]
    texts = ItemTask(
        asked.source.stem, items, answers=build("task.answers", config["task"]["answers"])
    )
    return Judge(texts.answers, texts.grade, verifier), {asked.source.stem: samples}


def _show(found: Found) -> None:
    from rich.console import Console

    from tts.evaluation.chain_choice import CHOICES

    console = Console(highlight=False)
    for label, (rescored, _) in found.items():
        smallest, largest = rescored.n_samples
        count = f"{smallest}" if smallest == largest else f"{smallest} to {largest}"
        console.print(f"{label}: {rescored.n_problems:,} problems, {count} samples each; % [95%]")
        for names in (METHODS, CHOICES):
            curves = {name: rescored.curves[m] for m, name in names.items() if m in rescored.curves}
            if curves:
                console.print(_table(curves))
        for law in laws(rescored):
            console.print(law)
        for note in rescored.notes:
            console.print(note, style="yellow")
        console.print()


def _table(curves: Mapping[str, Mapping[int, Interval]]) -> Table:
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    table.add_column("k", justify="right")
    for name in curves:
        table.add_column(name, justify="right", no_wrap=True)
    for k in next(iter(curves.values())):
        table.add_row(str(k), *(_cell(curve[k]) for curve in curves.values()))
    return table


def laws(rescored: Rescored) -> Iterator[str]:
    """What the curves follow, in a sentence each."""
    law, curve = rescored.coverage, rescored.saturation
    if law:
        yield (
            f"pass@k follows exp({law.a:.3g} k^{law.b:.3g}), off by"
            f" {100 * law.max_residual:.1f} points at the most."
        )
    if curve and curve.max_residual > _POOR_FIT:
        off = f"the best fit is off by {100 * curve.max_residual:.1f} points"
        yield f"The majority follows no saturating curve: {off}."
    elif curve:
        yield (
            f"The majority follows {curve.limit:.3g} (1 - (1 - {curve.p:.3g})^k), off by"
            f" {100 * curve.max_residual:.1f} points at the most; one more sample adds less than"
            f" half a point from k = {curve.enough(0.005):,} on."
        )


def _cell(interval: Interval) -> str:
    ends = f"{100 * interval.low:.1f}, {100 * interval.high:.1f}"
    return f"{100 * interval.mean:.1f} \\[{ends}]"


def _write(path: Path, found: Found, asked: argparse.Namespace) -> None:
    """One object for a file; for a run one an arm."""
    from tts.evaluation.provenance import command_line
    from tts.evaluation.store import write_atomically

    entries = {label: _entry(rescored, problems) for label, (rescored, problems) in found.items()}
    content: dict[str, Any] = {"source": str(asked.source), "command": command_line()}
    content |= {"arms": entries} if asked.source.is_dir() else next(iter(entries.values()))
    write_atomically(path, json.dumps(content, indent=1) + "\n")


def _entry(rescored: Rescored, problems: Mapping[str, Any]) -> dict[str, Any]:
    """Plain names for the figures at all samples, and behind them curves and problems."""
    from tts.evaluation.chain_choice import CHOICES

    curves = rescored.curves
    figures = {f"pass@{k}": interval for k, interval in curves["pass"].items()}
    others = (m for m in (*METHODS, *CHOICES) if m in curves and m != "pass")
    figures |= {m: curves[m][max(curves[m])] for m in others}
    means = {name: interval.mean for name, interval in figures.items()}
    return {
        "n_problems": rescored.n_problems,
        "n_samples": rescored.n_samples,
        "answered": rescored.answered,
        **{method: None for method in METHODS if method != "pass"},
        **means,
        "intervals": {name: [interval.low, interval.high] for name, interval in figures.items()},
        "curves": {
            method: {k: [i.mean, i.low, i.high] for k, i in curve.items()}
            for method, curve in curves.items()
        },
        "laws": {
            "coverage": asdict(rescored.coverage) if rescored.coverage else None,
            "saturation": asdict(rescored.saturation) if rescored.saturation else None,
        },
        "notes": rescored.notes,
        "problems": problems,
    }
