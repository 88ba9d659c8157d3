"""`tts advise`: which scheme of weights and cache to run a model in, and why."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from tts.cli.arguments import read
from tts.cli.options import Parser
from tts.errors import ConfigError

_ABOUT = """\
Predict memory, tokens a second and cost of a problem for every scheme that a machine can run a
model in, and say which to take: the cheapest that keeps enough of the accuracy.

The workload is given in numbers (workload.concurrency=16), or comes from a strategy on a task with
the words of `tts run`, rehearsed as `tts estimate` does; numbers have the last word. This machine
is measured on first use, in about a minute; others (--machine) are taken from data sheets."""

_EXAMPLES = """\
examples:
  tts advise workload.concurrency=16 workload.prompt_tokens=60 workload.completion_tokens=100
  tts advise strategy=self_consistency strategy.n=16 task=mini
  tts advise model=/path/to/checkpoint workload.concurrency=64 --machine H100-SXM --usd-per-hour 3
  tts advise model=mini-reasoner --cards quantised/ --keep 0.97 --plot roofline.png

fields of workload: concurrency (answers in flight), prompt_tokens, completion_tokens, samples (of a
problem, which share its prompt), shared_tokens (first tokens that all prompts share) and
sequential_tokens (of a problem, one after the other)"""


def main(arguments: Sequence[str]) -> int:
    """Run `tts advise`.

    Args:
        arguments: What stands behind the command.

    Returns:
        The exit code: 0 if there is something to recommend, 1 if not.

    Raises:
        ConfigError: Something cannot be used; nothing was measured.
    """
    options, words = _parser().parse_known_args(list(arguments))
    _check(options)
    loads = [word for word in words if word.startswith("workload.")]
    command = read([word for word in words if word not in loads])
    # Late, so that help and slips of the pen are answered at once.
    from tts.cli._advice import work_out
    from tts.cli._advice_table import document, show
    from tts.evaluation.store import write_atomically

    found = work_out(command, loads, options)
    show(found)
    if options.json:
        write_atomically(options.json, json.dumps(document(found), indent=2) + "\n")
    if options.plot and found.advice.chosen:
        from tts.advice.picture import draw

        draw(found.case, found.advice.chosen, found.title, options.plot)
    return 0 if found.advice.chosen else 1


def _parser() -> Parser:
    parser = Parser("advise", _ABOUT, _EXAMPLES)
    parser.usage = "tts advise [model=...] [workload.FIELD=N ...] [OVERRIDE ...] [options]"
    add = parser.add_argument
    add("--machine", metavar="NAME", help="another machine than this one, such as A100-80G")
    add(
        "--keep",
        type=float,
        default=0.98,
        metavar="P",
        help="least share of the accuracy that must be kept (0.98)",
    )
    add("--usd-per-hour", type=float, metavar="X", help="what the machine costs, all devices")
    add(
        "--cards",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="a checkpoint that `tts quantize` has made, or a folder of them: their measured"
        " accuracies count instead of published ones; may be given several times",
    )
    add(
        "--cache",
        action="append",
        default=[],
        metavar="FORMAT",
        help="a format of the KV cache to consider beside auto and fp8",
    )
    add("--all", action="store_true", help="show schemes of unknown accuracy as well")
    add("--calibrate", action="store_true", help="measure this machine anew")
    add("--json", type=Path, metavar="FILE", help="write the advice as JSON")
    add("--plot", type=Path, metavar="FILE", help="draw the roofline of what is recommended (PNG)")
    add(
        "--agreement",
        type=float,
        default=0.6,
        metavar="P",
        help="as in `tts estimate`, for strategies that stop early (0.6)",
    )
    add(
        "--earlier",
        type=Path,
        default=Path("outputs"),
        metavar="DIR",
        help="folder with earlier runs, which tell how long answers are (outputs)",
    )
    return parser


def _check(options: argparse.Namespace) -> None:
    for name in ("keep", "agreement"):
        value = getattr(options, name)
        if not 0 <= value <= 1:
            raise ConfigError(f"--{name} is {value}; it must lie in [0, 1].")
    price = options.usd_per_hour
    if price is not None and not price >= 0:
        raise ConfigError(f"--usd-per-hour is {price:g}; it must be 0 or more.")
    if options.machine and options.calibrate:
        raise ConfigError(
            "--calibrate measures this machine, and --machine names another.",
            hint="Leave one of the two out.",
        )
    for name in ("json", "plot"):
        file = getattr(options, name)
        if file is not None and not file.absolute().parent.is_dir():
            raise ConfigError(f"--{name}: there is no folder {file.absolute().parent}.")
