"""Making the environment of llm-compressor: a Python, links, pip for the rest, and a trial.

What each program writes goes to a log beside the environment, which stays if it fails.
"""

from __future__ import annotations

import subprocess
import venv
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from tts.errors import TTSError
from tts.quantize.environment import Environment, Plan, Report
from tts.quantize.shared import link

_SHOWN = ("Collecting ", "Downloading ", "Installing ", "Processing ")  # of what pip says
# Not compiled: the trial compiles what is used, and that is a small part.
_PIP = ("-m", "pip", "install", "--no-deps", "--no-compile", "--progress-bar", "off")


def make(target: Environment, plan: Plan, report: Report) -> None:
    """Make an environment in a folder that is not there.

    Args:
        target: Where.
        plan: What it consists of.
        report: Told what takes long.

    Raises:
        TTSError: It could not be made; the message says why.
        OSError: The disk is full, say.
    """
    report(f"making the environment of llm-compressor in {target.folder} (once)")
    venv.create(target.folder, symlinks=True)
    link(plan.shared.values(), target.site)
    log = target.folder.parent / f"{target.folder.name}.log"
    if plan.fresh:
        topic = f"{len(plan.shared)} packages are linked, {len(plan.fresh)} to install"
        report(topic)
        # After the links: it would put a setuptools of its own where there is none.
        _run(target, ["-m", "ensurepip"], log, lambda _: None)
        _run(target, [*_PIP, *plan.fresh], log, lambda line: _tell(topic, line, report))
    report("trying llm-compressor")
    _run(target, ["-c", plan.trial], log, lambda _: None)
    lack = target.lacks(plan.versions)
    if lack:
        raise TTSError(f"The environment of llm-compressor came out wrong: {lack}.")


def _tell(topic: str, line: str, report: Report) -> None:
    if line.startswith(_SHOWN):
        report(f"{topic}… {line[:60]}")


def _run(target: Environment, words: Sequence[str], log: Path, tell: Callable[[str], None]) -> None:
    """Run the environment's Python; what it says is told line by line and logged."""
    last: deque[str] = deque(maxlen=20)
    # -I: neither the user's own site folder nor PYTHONPATH gets in.
    command = [str(target.python), "-I", *words]
    with (
        log.open("w") as file,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as process,
    ):
        try:
            for line in process.stdout or ():
                file.write(line)
                last.append(line.strip())
                tell(line.strip())
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise TTSError(
            f"The environment of llm-compressor could not be made: {_reason(last)}",
            hint=f"All that was said is in {log}; pip works with your own settings.",
        )


def _reason(lines: Sequence[str]) -> str:
    """The line that names the fault, as far as one does."""
    said = [line for line in lines if line]
    errors = [line for line in said if line.startswith("ERROR") or "Error:" in line]
    if any(line.endswith("No module named ensurepip") for line in said):
        return "this Python has no pip to install with (Debian: apt install python3-venv)."
    return (errors or said or ["no reason was given."])[-1]
