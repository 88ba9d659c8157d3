"""`tts doctor`: what this machine can run, and what is missing. Starts no engine."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from tts.cli.arguments import Arguments, config_dir
from tts.cli.options import Parser
from tts.errors import TTSError

if TYPE_CHECKING:
    from tts.cli._findings import Finding

_ABOUT = """\
Say what this machine can run, and what is missing: the package, the engine, the machine, data sets,
keys and servers. Starts no engine and asks no model. Exit code 0 if `tts run` works as it is, 1 if
not."""

_EXAMPLES = """\
examples:
  tts doctor
  tts doctor --base-url http://127.0.0.1:8000/v1 --json doctor.json"""


def main(arguments: Sequence[str]) -> int:
    """Run `tts doctor`.

    Args:
        arguments: What stands behind the command.

    Returns:
        The exit code.
    """
    options = _parser().parse_args(list(arguments))
    # Late, so that help and slips of the pen are answered at once.
    from rich.console import Console

    from tts.cli._findings import show
    from tts.evaluation.store import write_atomically

    with _quiet():
        findings = examine(options.base_url, options.api_key_env)
    works = not any(f.vital and f.state == "missing" for f in findings)
    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
    show(findings, console)
    if options.json:
        about = {"works": works, "findings": [asdict(f) for f in findings]}
        write_atomically(options.json, json.dumps(about, indent=2) + "\n")
    return 0 if works else 1


def examine(urls: Sequence[str], key_env: str) -> list[Finding]:
    """Look at everything.

    Args:
        urls: Base URLs of servers to ask for their models.
        key_env: The variable that holds their key.
    """
    from tts.cli import _machine, _surroundings
    from tts.engine.hardware import detect
    from tts.engine.probe import probe

    hardware, build = detect(), probe()
    found = [
        *_machine.package(),
        *_machine.engine(hardware, build),
        *_machine.resources(hardware),
        *_surroundings.extras(),
        *_surroundings.sandbox(),
        *_surroundings.data_sets(),
        *_surroundings.keys(),
        *_surroundings.servers(urls, key_env),
    ]
    return [*found, *_runs(found)]


def _runs(found: Sequence[Finding]) -> Iterator[Finding]:
    """What can be run, after all that was found."""
    from tts.cli._findings import Finding

    section = "What can run"
    broken = [f"{f.name} ({f.said})" for f in found if f.vital and f.state == "missing"]
    fault = _refused(())
    if broken or fault:
        said = f"no: {'; '.join(broken) or fault}"
        todo = "" if broken else "See `tts run`."
        yield Finding(section, "tts run", "missing", said, todo, vital=True)
    else:
        yield Finding(section, "tts run", "ok", "yes: mini-reasoner on the bundled engine")
    if fault := _refused(("backend=simulated",)):
        yield Finding(section, "backend=simulated", "missing", f"no: {fault}")
    else:
        yield Finding(section, "backend=simulated", "ok", "yes: nothing is needed")
    if (config_dir() / "backend" / "openai.yaml").is_file():
        yield _openai(section, found)


def _openai(section: str, found: Sequence[Finding]) -> Finding:
    from tts.cli._findings import Finding

    servers = [f for f in found if f.section == "Servers"]
    if any(f.state == "ok" for f in servers):
        return Finding(section, "backend=openai", "ok", "yes: a server answers")
    if servers:
        todo = "Start one, or correct the address."
        return Finding(section, "backend=openai", "missing", "no: no server answers", todo)
    if any(f.name == "OPENAI_API_KEY" and f.state == "ok" for f in found):
        return Finding(section, "backend=openai", "ok", "perhaps: a key is set")
    todo = "Set OPENAI_API_KEY, or name a server of your own: --base-url http://host:8000/v1."
    return Finding(section, "backend=openai", "missing", "no: no key is set", todo)


def _refused(overrides: tuple[str, ...]) -> str:
    """Why `tts run` would refuse a configuration before it starts anything; empty if not."""
    from tts.cli.jobs import compose_jobs
    from tts.cli.workshop import Workshop

    try:
        workshop = Workshop()
        for job in compose_jobs(Arguments(overrides)):
            for arm in job.arms:
                workshop.work(job, arm)
    except TTSError as error:
        return error.message
    except ImportError as error:
        return f"{error}."
    return ""


@contextmanager
def _quiet() -> Iterator[None]:
    """A block in which the engine's checks warn nobody: what they find is in the findings."""
    logger = logging.getLogger("tts")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _parser() -> Parser:
    parser = Parser("doctor", _ABOUT, _EXAMPLES)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the findings as JSON")
    parser.add_argument(
        "--base-url",
        action="append",
        default=[],
        metavar="URL",
        help="a server to ask for its models; may be given several times",
    )
    parser.add_argument(
        "--api-key-env",
        default="OPENAI_API_KEY",
        metavar="NAME",
        help="the variable that holds the key of these servers (OPENAI_API_KEY)",
    )
    return parser
