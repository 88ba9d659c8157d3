"""`tts estimate`: what a run would cost, said before it starts."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from tts.cli.arguments import read
from tts.cli.options import Parser
from tts.errors import ConfigError

_ABOUT = """\
Say what `tts run` would cost with the same words, in tokens, time and dollars.

No model is asked and no engine is started: strategy, controller and budget are rehearsed on the
real prompts. How long answers are is known from an earlier run of the same model and task, or
assumed to be half of task.max_tokens. The upper bound lets every answer run to its cap and stops
nothing early. `tts run --help` tells what an OVERRIDE is."""

_EXAMPLES = """\
examples:
  tts estimate experiment=demo
  tts estimate -m strategy=self_consistency strategy.n=4,16,64 --tokens-per-second 2000
  tts estimate strategy=best_of_n verifier=likelihood --json cost.json"""


def main(arguments: Sequence[str]) -> int:
    """Run `tts estimate`.

    Args:
        arguments: What stands behind the command.

    Returns:
        The exit code.

    Raises:
        ConfigError: Something that `tts run` would refuse.
    """
    options, words = _parser().parse_known_args(list(arguments))
    _check(options)
    command = read(words)
    # Late, so that help and slips of the pen are answered at once.
    from tts.cli._costs import Costs, work_out
    from tts.cli.jobs import compose_jobs
    from tts.evaluation.store import write_atomically

    jobs = compose_jobs(command)
    if command.print_config:
        print("---\n".join(job.yaml() for job in jobs), end="")
        return 0
    costs: Costs = work_out(jobs, options)
    costs.show()
    if options.json:
        write_atomically(options.json, json.dumps(costs.document(), indent=2) + "\n")
    return 0


def _parser() -> Parser:
    parser = Parser("estimate", _ABOUT, _EXAMPLES)
    parser.usage = "tts estimate [OVERRIDE ...] [-m] [--config-dir DIR] [options]"
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the estimate as JSON")
    parser.add_argument(
        "--tokens-per-second",
        type=float,
        metavar="X",
        help="tokens that the whole run generates in a second; else as an earlier run measured",
    )
    parser.add_argument(
        "--agreement",
        type=float,
        default=0.6,
        metavar="P",
        help="part of a problem's samples that give its commonest answer (0.6); matters to"
        " controllers that stop early",
    )
    parser.add_argument(
        "--earlier",
        type=Path,
        default=Path("outputs"),
        metavar="DIR",
        help="folder with earlier runs (outputs)",
    )
    return parser


def _check(options: argparse.Namespace) -> None:
    if not 0 <= options.agreement <= 1:
        raise ConfigError(f"--agreement is {options.agreement}; it must lie in [0, 1].")
    speed = options.tokens_per_second
    if speed is not None and not speed > 0:
        raise ConfigError(f"--tokens-per-second is {speed:g}; it must be above 0.")
