"""`tts tune-sampling`: temperature, truncation and prompt for a model, strategy and task."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from tts.cli.arguments import read
from tts.cli.options import Parser
from tts.errors import ConfigError

_ABOUT = """\
Find temperature, top_p, top_k, min_p and prompt for a model, strategy and task by successive
halving on a pilot set, and compare the winner with the present settings on problems that the
choice has not seen.

sampling.FIELD=A,B,... and prompt=NAME,... span the space. All other words are those of `tts run`;
where one has several values (model.engine.scheme=fp32,bf16, strategy.n=1,16) each is tuned by
itself. Naming the folder of an unfinished tuning goes on with it; a finished one is only shown."""

_EXAMPLES = """\
examples:
  tts tune-sampling strategy=self_consistency strategy.n=16 sampling.temperature=0.4,0.8,1.2
  tts tune-sampling task=gsm8k model=/path/to/checkpoint sampling.temperature=0.3,0.6,0.9 \\
      sampling.top_p=0.9,1 prompt=own,short --prompts prompts.yaml --pilot 200 --held-out 1000
  tts tune-sampling model.engine.scheme=fp32,bf16 sampling.temperature=0.4,0.8 --out tuned
  tts run --config-dir tuned +tuned=NAME strategy=self_consistency     # what was found, used

A file of prompts is YAML: a name, and below it fields of task.prompt (template, system, chat).
The name `own` is the task's own prompt."""


def main(arguments: Sequence[str]) -> int:
    """Run `tts tune-sampling`.

    Args:
        arguments: What stands behind the command.

    Returns:
        The exit code: 0, or 3 if some problems failed.

    Raises:
        ConfigError: Something cannot be used; nothing was spent.
    """
    options, words = _parser().parse_known_args(list(arguments))
    _check(options)
    spanning = [word for word in words if word.startswith(("sampling.", "prompt="))]
    command = read([word for word in words if word not in spanning])
    # Late, so that help and slips of the pen are answered at once.
    from tts.cli._sampling_order import order
    from tts.cli._sampling_run import run
    from tts.cli._sampling_table import document, show, show_plan
    from tts.cli.run import SOME_FAILED
    from tts.evaluation.store import write_atomically

    tunings = order(command, spanning, options)
    if command.print_config:
        print("---\n".join(tuning.job.yaml() for tuning in tunings), end="")
        return 0
    if options.dry_run:
        show_plan(tunings)
        return 0
    findings = run(tunings, options.out)
    show(findings, options.out)
    if options.json:
        write_atomically(options.json, json.dumps(document(findings), indent=2) + "\n")
    rows = [row for found in findings for row in (found.default, found.tuned) if row]
    return SOME_FAILED if any(row.n_failed for row in rows) else 0


def _parser() -> Parser:
    parser = Parser("tune-sampling", _ABOUT, _EXAMPLES)
    parser.usage = (
        "tts tune-sampling sampling.FIELD=A,B ... [prompt=NAME,...] [OVERRIDE ...] [options]"
    )
    add = parser.add_argument
    add("--pilot", type=int, default=128, metavar="N", help="problems to choose by (128)")
    add(
        "--held-out",
        type=int,
        default=400,
        metavar="N",
        help="further problems, on which the winner meets the present settings (400)",
    )
    add("--eta", type=int, default=3, metavar="K", help="one in so many goes on a rung (3)")
    add(
        "--first",
        type=int,
        default=16,
        metavar="N",
        help="problems of the first rung at least (16)",
    )
    add(
        "--samples",
        type=int,
        metavar="N",
        help="samples of each pilot problem, if more than the strategy's n: less noise a problem",
    )
    add(
        "--tokens",
        type=int,
        metavar="N",
        help="most completion tokens of each pilot; it is cut short rather than exceed them",
    )
    add("--prompts", type=Path, metavar="FILE", help="prompts by name (YAML)")
    add(
        "--out",
        type=Path,
        default=Path("outputs/tune-sampling"),
        metavar="DIR",
        help="folder for records, table, picture and configurations (outputs/tune-sampling)",
    )
    add("--json", type=Path, metavar="FILE", help="write what was found to FILE as well")
    add("--dry-run", action="store_true", help="say what would be tried, and start nothing")
    return parser


def _check(options: argparse.Namespace) -> None:
    least = {"pilot": 1, "held_out": 1, "eta": 2, "first": 1, "samples": 1, "tokens": 1}
    for name, bound in least.items():
        value = getattr(options, name)
        if value is not None and value < bound:
            raise ConfigError(
                f"--{name.replace('_', '-')} is {value}; it must be at least {bound}."
            )
    if options.prompts is not None and not options.prompts.is_file():
        raise ConfigError(f"--prompts: there is no file {options.prompts}.")
    if options.json is not None and not options.json.absolute().parent.is_dir():
        raise ConfigError(f"--json: there is no folder {options.json.absolute().parent}.")
