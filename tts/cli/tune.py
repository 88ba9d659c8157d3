"""`tts tune`: the engine's settings that suit one's own workload best, found by measuring."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from tts.cli.arguments import read
from tts.cli.options import Parser
from tts.errors import ConfigError

_ABOUT = """\
Search the engine's settings (sequences, batched tokens, block size, KV space, threads, devices,
compilation, chunked prefill, drafts of n-grams) for the most tokens a second, or the least seconds
a problem, on your own workload: the words of `tts run` say which. Each candidate gets an engine in
a process of its own, and is measured piece by piece beside the defaults; losers are given up early.
In the end the best three, the defaults and vLLM's own are measured in turns. What model.engine.*
sets holds for all candidates. Ctrl-C keeps everything, and the same command goes on."""

_EXAMPLES = """\
examples:
  tts tune strategy=self_consistency strategy.n=8 task=mini concurrency=16
  tts tune model=/path/to/checkpoint task=gsm8k --objective latency concurrency=4 --minutes 60
  tts tune task=mini --knob threads=1,2 --knob block_size=32 --trials 12 --out tuned/
  tts run --config-dir tuned/ +tuned=engine task=mini        what was found, in use"""


def main(arguments: Sequence[str]) -> int:
    """Run `tts tune`.

    Args:
        arguments: What stands behind the command.

    Returns:
        The exit code.

    Raises:
        ConfigError: Something cannot be used; nothing was started.
        TTSError: The defaults cannot be measured.
        KeyboardInterrupt: The user wants no more; what was measured is kept.
    """
    options, words = _parser().parse_known_args(list(arguments))
    _check(options)
    command = read(words)
    # Late, so that help and slips of the pen are answered at once.
    from tts.cli._tuning import tune
    from tts.cli._tuning_order import order

    tune(order(command, options), options)
    return 0


def _parser() -> Parser:
    parser = Parser("tune", _ABOUT, _EXAMPLES)
    parser.usage = "tts tune [OVERRIDE ...] [--config-dir DIR] [options]"
    add = parser.add_argument
    add(
        "--objective",
        default="throughput",
        choices=("throughput", "latency"),
        help="completion tokens a second, or the median seconds of a problem (throughput)",
    )
    add("--trials", type=int, default=24, metavar="N", help="candidates that are started (24)")
    add("--minutes", type=float, metavar="M", help="most minutes of this sitting, all included")
    add("--rounds", type=int, default=10, metavar="N", help="of the last measurement (10)")
    add("--pieces", type=int, default=4, metavar="N", help="pieces of the workload (4)")
    add("--piece", type=int, metavar="N", help="problems in a piece (as many as concurrency)")
    add(
        "--knob",
        action="append",
        default=[],
        metavar="NAME=V1,V2",
        help="values to try of a setting, in place of the usual ones; may be given several times",
    )
    add(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder for what is found (outputs/tuned/MODEL)",
    )
    add("--json", type=Path, metavar="FILE", help="write study.json there as well")
    return parser


def _check(options: argparse.Namespace) -> None:
    for name, least in (("trials", 0), ("rounds", 1), ("pieces", 1), ("piece", 1)):
        value = getattr(options, name)
        if value is not None and value < least:
            raise ConfigError(f"--{name} is {value}; it must be at least {least}.")
    if options.minutes is not None and not options.minutes > 0:
        raise ConfigError(f"--minutes is {options.minutes:g}; it must be above 0.")
    file = options.json
    if file is not None and not file.absolute().parent.is_dir():
        raise ConfigError(f"--json: there is no folder {file.absolute().parent}.")
