"""`tts calibrate`: the threshold with which a large model writes a wanted share of the steps."""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import shlex
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tts.cli.arguments import Arguments, read
from tts.cli.options import Parser
from tts.errors import ConfigError

if TYPE_CHECKING:
    from tts.cli.workshop import Work
    from tts.evaluation.calibration import Calibration
    from tts.protocols import Strategy, Thresholded

_ABOUT = """\
Find strategy.threshold for a wanted share of steps by the large model, where two models write on
one chain. The problems of the task are solved by the draft model alone, and all of its steps are
measured. Take other problems than those of the experiment (task.split=validation). With --rounds 2
they are solved again by both models, with the threshold that was found, and it is found anew from
there: chains on which the large model has written are others. `tts run --help` tells what an
OVERRIDE is."""

_EXAMPLES = """\
examples:
  tts calibrate strategy=glimp_router model=mini-reasoner-l draft=mini-reasoner --share 0.3
  tts calibrate strategy=spec_reason verifier=prm model=mini-reasoner-l draft=mini-reasoner \\
      --share 0.2 --rounds 2 --json threshold.json"""


def main(arguments: Sequence[str]) -> int:
    """Run `tts calibrate`.

    Args:
        arguments: What stands behind the command.

    Returns:
        The exit code.

    Raises:
        ConfigError: Something that `tts run` would refuse, or a strategy without a threshold.
        TTSError: A fault ended it.
    """
    options, words = _parser().parse_known_args(list(arguments))
    _check(options)
    command = read(words)
    work, strategy = _work(command)
    found = asyncio.run(_calibrated(work, strategy, options))
    folder = ["--config-dir", str(command.config_dir)] if command.config_dir else []
    said = [*folder, *(o for o in command.overrides if not _chooses(o)), _choice(found.threshold)]
    _show(work, strategy, found, options, said)
    if options.json:
        from tts.evaluation.store import write_atomically

        document = {"wanted": options.share, "rounds": options.rounds, **asdict(found)}
        write_atomically(options.json, json.dumps(document, indent=2) + "\n")
    return 0


def _parser() -> Parser:
    parser = Parser("calibrate", _ABOUT, _EXAMPLES)
    parser.usage = "tts calibrate [OVERRIDE ...] --share X [options]"
    parser.add_argument(
        "--share", type=float, required=True, metavar="X",
        help="part of the steps that the large model is to write, 0 to 1",
    )  # fmt: skip
    parser.add_argument(
        "--rounds", type=int, default=1, metavar="N", help="how often the problems are solved (1)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found as JSON")
    return parser


def _check(options: argparse.Namespace) -> None:
    if not 0 <= options.share <= 1:
        raise ConfigError(f"--share is {options.share:g}; it must lie in [0, 1].")
    if options.rounds < 1:
        raise ConfigError(f"--rounds is {options.rounds}; it must be at least 1.")


def _work(command: Arguments) -> tuple[Work, Thresholded]:
    """The one arm that the command asks for, and its strategy."""
    # Late, so that help and slips of the pen are answered at once.
    from tts.cli.jobs import compose_jobs
    from tts.cli.workshop import Workshop
    from tts.protocols import Thresholded

    jobs = compose_jobs(command)
    if len(jobs) > 1 or len(jobs[0].arms) > 1:
        raise ConfigError(
            "There are several arms, and each would have a threshold of its own.",
            hint="Calibrate one configuration at a time; arms=null leaves an experiment's out.",
        )
    work = Workshop().work(jobs[0], jobs[0].arms[0])
    strategy = work.arm.setup.strategy
    if not isinstance(strategy, Thresholded):
        raise ConfigError(
            f"strategy={work.arm.names.strategy_name} has no threshold between two models.",
            hint="Take strategy=glimp_router or strategy=spec_reason.",
        )
    return work, strategy


async def _calibrated(
    work: Work, strategy: Thresholded, options: argparse.Namespace
) -> Calibration:
    """Measure and find, round by round; everything that was started is closed."""
    from rich.console import Console

    from tts.evaluation.calibration import calibrate
    from tts.protocols import Startable

    setup, threshold = work.arm.setup, math.inf if strategy.rising else -math.inf
    parts = [setup.backend, setup.draft, setup.verifier]
    try:
        with Console(stderr=True).status("Measuring steps") as status:
            for number in range(1, options.rounds + 1):
                status.update(f"Measuring steps, round {number} of {options.rounds}")
                values = await _measured(work, strategy.at(threshold), strategy.measure)
                found = calibrate(values, options.share, rising=strategy.rising, seed=setup.seed)
                threshold = found.threshold
        return found
    finally:
        for part in parts:
            if isinstance(part, Startable):
                await part.aclose()


async def _measured(work: Work, strategy: Strategy, measure: str) -> dict[str, list[float]]:
    """What is measured of the steps of each problem."""
    from tts.solve import solve_all

    setup = replace(work.arm.setup, strategy=strategy)
    options = {field.name: getattr(setup, field.name) for field in fields(setup)}
    problems = [item.problem for item in work.task]
    found: dict[str, list[float]] = {}
    async with aclosing(solve_all(problems, concurrency=work.concurrency, **options)) as results:
        async for result in results:
            if result.error is not None:
                raise result.error
            # A budget that ran dry at once has left nothing.
            found[result.problem_id] = list(result.details.get(measure, ()))
    return {problem.id: found[problem.id] for problem in problems}


def _show(
    work: Work,
    strategy: Thresholded,
    found: Calibration,
    options: argparse.Namespace,
    words: Sequence[str],
) -> None:
    names, share = work.arm.names, found.share
    sign = ">=" if strategy.rising else "<"
    print(
        f"{names.strategy_name} on {names.task}: {names.model}, with {names.draft} on trial\n"
        f"  measured   {found.n_steps:,} {strategy.measure} of {found.n_problems:,} problems\n"
        f"  threshold  {found.threshold:g} [{found.low:g}, {found.high:g}]\n"
        f"  share      {share.mean:.1%} [{share.low:.1%}, {share.high:.1%}] of the steps {sign}"
        " threshold, by the large model"
    )
    if abs(share.mean - options.share) > 0.02:
        print(f"  No threshold parts these {strategy.measure} at {options.share:.0%} of them.")
    if options.rounds == 1:
        print("  Measured on chains of the draft model alone; --rounds 2 looks at mixed ones.")
    print(f"\ntts run {shlex.join(words)}")


def _choice(threshold: float) -> str:
    return f"strategy.threshold={threshold:g}"


def _chooses(override: str) -> bool:
    return override.lstrip("+~").partition("=")[0] == "strategy.threshold"
