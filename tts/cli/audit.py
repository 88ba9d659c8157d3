"""`tts audit`: whether a candidate behaves as a reference does, token by token."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tts.cli._audited import USUAL_TOP, Made, of_candidate, of_run
from tts.cli.options import Parser
from tts.errors import ConfigError

if TYPE_CHECKING:
    from rich.progress import Progress

    from tts.audit import Audit

_ABOUT = """\
Say whether a candidate (a quantised model, another configuration, another machine, a server, a run
of yesterday) behaves as a reference does. The candidate answers problems of the task, or has
answered them in a run that kept its tokens; the reference reads the answers and says, token by
token, how far it was from drawing the same (Token-DiFR). Two honest runs of the reference say how
far it is from itself. The verdict is alike, different or undecided, by the area under the ROC curve
between sequences of the candidate and honest ones."""

_EXAMPLES = """\
examples:
  tts audit model=mini-reasoner --candidate model=/path/to/quantised
  tts audit model=mini-reasoner --candidate model.engine.dtype=bfloat16
  tts audit model=org/name task=gsm8k \\
      --candidate backend=openai backend.base_url=http://localhost:8000/v1
  tts audit --run outputs/yesterday --arm self_consistency

An OVERRIDE is as for `tts run`: those before --candidate hold for both, those behind it change the
candidate alone. With --run the reference is the run's own model, here and now, unless an OVERRIDE
says otherwise; it must be on a backend that reads (backend=vllm)."""

_OUT = Path("outputs/audit")
_TABLE, _FIGURES, _PICTURE = "audit.md", "audit.json", "audit.png"
_LEAST_TOKENS = 25


def main(arguments: Sequence[str]) -> int:
    """Run `tts audit`.

    Args:
        arguments: What stands behind the command.

    Returns:
        The exit code.

    Raises:
        ConfigError: Something cannot be used.
        TTSError: A fault ended it.
    """
    options = _parser().parse_intermixed_args(list(arguments))
    _check(options)
    made = of_run(options) if options.run else of_candidate(options)
    found = asyncio.run(_audited(made, options.tolerance))
    _show(made, found)
    _write(made, found, options)
    return 0


def _parser() -> Parser:
    parser = Parser("audit", _ABOUT, _EXAMPLES)
    parser.usage = "tts audit [OVERRIDE ...] --candidate OVERRIDE ... | --run FOLDER  [options]"
    add = parser.add_argument
    add("overrides", metavar="OVERRIDE", nargs="*", help="of the reference, and of both")
    add("--candidate", metavar="OVERRIDE", nargs="+", help="what is different in the candidate")
    add("--run", metavar="FOLDER", type=Path, help="audit the texts of this run (keep=tokens)")
    add("--arm", metavar="NAME", help="of the run, if it has several")
    add("--sequences", metavar="N", type=int, default=200, help="that are compared (200)")
    add("--tokens", metavar="N", type=int, default=300, help="of a sequence (300)")
    add(
        "--top", metavar="N", type=int, default=USUAL_TOP,
        help=f"likeliest tokens that the reference tells of at every place ({USUAL_TOP})",
    )  # fmt: skip
    add(
        "--tolerance", metavar="X", type=float, default=0.1,
        help="how far from 0.5 the area of a candidate that is alike may lie (0.1)",
    )  # fmt: skip
    add("--seed", metavar="N", type=int, default=0, help="of all draws (0)")
    add(
        "--out", metavar="FOLDER", type=Path, default=_OUT,
        help=f"for table, figures and picture ({_OUT}); those that are there are replaced",
    )  # fmt: skip
    add("--config-dir", metavar="DIR", type=Path, help="further configurations")
    return parser


def _check(options: argparse.Namespace) -> None:
    if bool(options.candidate) == bool(options.run):
        raise ConfigError(
            "tts audit needs either --candidate or --run.",
            hint="Say what is different (--candidate model=...), or name a run.",
        )
    if options.arm and not options.run:
        raise ConfigError("--arm: it names an arm of a run.", hint="Give the run with --run.")
    least = {"sequences": 20, "tokens": _LEAST_TOKENS, "top": 1}
    for name, value in least.items():
        if getattr(options, name) < value:
            given = getattr(options, name)
            raise ConfigError(f"--{name} is {given}; it must be at least {value}.")
    if not 0 < options.tolerance < 0.5:
        raise ConfigError(f"--tolerance is {options.tolerance:g}; it must lie between 0 and 0.5.")


async def _audited(made: Made, tolerance: float) -> Audit:
    """Write and read; the candidate is closed before the reference is started."""
    from tts.audit import audit, write
    from tts.cli._bars import moving

    with moving() as bars:
        step, texts = _Steps(bars), made.texts
        try:
            if made.candidate is not None:
                step(f"Starting {made.candidate.model.name}", None)
                await made.candidate.start()
                told = step("Writing as the candidate", None)
                texts = await write(made.candidate, made.reference, made.plan, "candidate", told)
                await made.candidate.aclose()
            step(f"Starting {made.reference.model.name}", None)
            await made.reference.start()
            return await audit(made.reference, texts, made.plan, tolerance=tolerance, step=step)
        finally:
            for part in (made.candidate, made.reference):
                if part is not None:
                    await part.aclose()


class _Steps:
    """Shows the step at hand as a bar."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._bar = bars.add_task("", total=None)

    def __call__(self, what: str, total: int | None) -> Callable[[int], object]:
        self._bars.remove_task(self._bar)
        self._bar = self._bars.add_task(what, total=total)
        return partial(self._bars.advance, self._bar)


def _show(made: Made, found: Audit) -> None:
    from rich.console import Console

    from tts.audit.report import notes, sentence, sheet

    console = Console(highlight=False, soft_wrap=True)
    console.print(sheet(found, *made.names).rich(console.width))
    console.print()
    for line in (sentence(found), *notes(found)):
        console.print(line, markup=False)


def _write(made: Made, found: Audit, options: argparse.Namespace) -> None:
    from tts.audit.plot import draw
    from tts.audit.report import entries, notes, sentence, sheet
    from tts.cli.execute import nice
    from tts.evaluation.provenance import command_line, machine, versions
    from tts.evaluation.store import write_atomically

    folder: Path = options.out
    folder.mkdir(parents=True, exist_ok=True)
    said = "\n\n".join((sentence(found), *notes(found)))
    table = sheet(found, *made.names).markdown()
    picture = f"![Scores, and the area]({_PICTURE})"
    write_atomically(folder / _TABLE, f"{table}\n{said}\n\n{picture}\n")
    content = {
        "command": command_line(),
        "seed": options.seed,
        "reference": dict(made.reference.identity()),
        "candidate": dict(made.candidate.identity()) if made.candidate else str(options.run),
        **entries(found),
        "versions": versions(),
        "machine": machine(),
    }
    write_atomically(folder / _FIGURES, json.dumps(content, indent=1) + "\n")
    draw(found, " against ".join(made.names), folder / _PICTURE)
    print(f"Written to {nice(folder)}: {_TABLE}, {_FIGURES}, {_PICTURE}.")
