"""`tts run`. Light until the words are read; the work is done by `tts.cli.execute`."""

from __future__ import annotations

from collections.abc import Sequence

from tts.cli.arguments import RUN_USAGE, groups, read

SOME_FAILED = 3
"""Exit code of a run that ended, although some problems failed."""


def main(arguments: Sequence[str]) -> int:
    """Run `tts run`.

    Args:
        arguments: What stands behind the command.

    Returns:
        The exit code.
    """
    command = read(arguments)
    if command.help:
        print(f"{RUN_USAGE.strip()}\n\n{groups()}")
        return 0
    # Late, so that help and slips of the pen are answered at once.
    from tts.cli.execute import execute
    from tts.cli.jobs import compose_jobs
    from tts.cli.launch import launch, launcher_of

    elsewhere = launcher_of(command)
    jobs = compose_jobs(command)
    if command.print_config:
        print("---\n".join(job.yaml() for job in jobs), end="")
        return 0
    failed = launch(jobs, command) if elsewhere else execute(jobs)
    return SOME_FAILED if failed else 0
