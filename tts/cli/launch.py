"""Sweeps whose jobs are processes of their own: through Hydra's launchers, of joblib or Slurm.

What a job is, is composed here, where the command was typed; a launcher only brings it somewhere.
Each job records its results in its folder. The reports follow in one job more, in the same kind of
place: a login node may lack the devices, and so be unable to say what the jobs ran on.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import DictConfig

from tts.cli.arguments import Arguments
from tts.cli.compose import composer
from tts.cli.jobs import Job
from tts.errors import BackendError, ConfigError, TTSError
from tts.evaluation.provenance import command_line

GROUP = "hydra/launcher"
HERE = "basic"
"""The launcher that launches nothing: one process, and one engine for all jobs that want it."""

_QUIET = ("hydra.output_subdir=null", "hydra/job_logging=none", "hydra/hydra_logging=none")


def launcher_of(arguments: Arguments) -> str | None:
    """The launcher that a command chooses; None for none.

    Raises:
        ConfigError: There is none of that name, or nothing that it could launch.
    """
    prefix = f"{GROUP}="
    chosen = [text.removeprefix(prefix) for text in arguments.overrides if text.startswith(prefix)]
    if not chosen or chosen[-1] == HERE:
        return None
    with composer(arguments.config_dir):
        known = GlobalHydra.instance().config_loader().get_group_options(GROUP)
    if chosen[-1] not in known:
        close = get_close_matches(chosen[-1], known, n=1)
        raise ConfigError(
            f"There is no launcher {chosen[-1]!r}.",
            hint=f"Did you mean {GROUP}={close[0]}?"
            if close
            else "joblib, submitit_local and submitit_slurm come with"
            " pip install 'tts-scaling[sweeps]'.",
        )
    if not arguments.multirun:
        raise ConfigError(
            f"{GROUP}={chosen[-1]} launches the jobs of a sweep, and this is a single run.",
            hint="Add -m.",
        )
    return chosen[-1]


def launch(jobs: Sequence[Job], arguments: Arguments) -> bool:
    """Run the jobs of a sweep through the launcher that the command chooses, and report on all.

    Returns:
        Whether any problem failed.

    Raises:
        ConfigError: A job, or the launcher, cannot be used.
        TTSError: A fault ended a job; the others went on to their ends.
    """
    sweep = jobs[0].sweep
    assert sweep is not None
    chosen = [text for text in arguments.overrides if text.startswith(("hydra.", "hydra/"))]
    with composer(arguments.config_dir) as known:
        [(plain, _)] = known.expand(chosen, multirun=False)
        place = f"hydra.sweep.dir='{os.path.abspath(sweep)}'"
        config = known.compose([*plain, *_QUIET, place])
        launcher = _launcher(config, _Errand(tuple(jobs), tuple(command_line()), os.getcwd()))
        ended = _launched(launcher, [_at(job.folder, sweep) for job in jobs], 0)
        _raise_failed(jobs, ended)
        [reports] = _launched(launcher, [_at(sweep, sweep)], len(jobs))
        text, failed = _returned(reports)
    print(text, end="")
    return bool(failed)


@dataclass(frozen=True)
class _Errand:
    """What a launched process does, by its number: a job, or after the last one the reports."""

    jobs: tuple[Job, ...]
    command: tuple[str, ...]
    folder: str

    def __call__(self, config: DictConfig) -> tuple[str, bool]:
        """What it has to say, and whether any problem failed."""
        from tts.cli.execute import conclude, record

        # As if the command had been typed in this process, which serves nothing else.
        os.chdir(self.folder)
        sys.argv[1:] = self.command[1:]
        number = int(HydraConfig.get().job.num)
        if number < len(self.jobs):
            record(self.jobs[number : number + 1])
            return "", False
        with contextlib.redirect_stdout(io.StringIO()) as said:
            failed = conclude(self.jobs)
        return said.getvalue(), failed


def _at(folder: Path, sweep: Path) -> list[str]:
    """Where Hydra is to see a job's folder."""
    return [f"hydra.sweep.subdir='{os.path.relpath(folder, sweep)}'"]


def _launcher(config: DictConfig, errand: _Errand) -> Launcher:
    """Hydra's launcher.

    Raises:
        ConfigError: It does not take its settings.
    """
    from hydra._internal.callbacks import Callbacks

    context = HydraContext(GlobalHydra.instance().config_loader(), Callbacks())
    try:
        return Plugins.instance().instantiate_launcher(
            hydra_context=context, task_function=errand, config=config
        )
    except HydraException as error:
        raise ConfigError(f"{GROUP} cannot be used: {error}.") from error


def _launched(
    launcher: Launcher, overrides: Sequence[Sequence[str]], first: int
) -> Sequence[JobReturn]:
    """What became of launched processes, once all have ended.

    Raises:
        BackendError: They could not be brought to their places, or were lost there.
    """
    try:
        return launcher.launch(overrides, initial_job_idx=first)
    except Exception as error:  # each launcher has its own kinds
        raise BackendError(
            f"The launcher failed: {type(error).__name__}: {error}.",
            hint="What the jobs have recorded is safe: the same command, with hydra.sweep.dir,"
            " goes on from there.",
        ) from error


def _returned(ended: JobReturn) -> tuple[str, bool]:
    """What a process returned.

    Raises:
        Exception: What ended it.
    """
    with contextlib.redirect_stderr(io.StringIO()):  # we say it ourselves
        value: tuple[str, bool] = ended.return_value
    return value


def _raise_failed(jobs: Sequence[Job], ended: Sequence[JobReturn]) -> None:
    """Raise what ended the first job that failed, and say which it was.

    Raises:
        Exception: That.
    """
    failed = [(job, each) for job, each in zip(jobs, ended, strict=True) if _failed(each)]
    if not failed:
        return
    job, first = failed[0]
    try:
        _returned(first)
    except TTSError as error:
        which = " ".join(job.swept) or job.folder.name
        error.message = f"{len(failed)} of {len(jobs)} jobs failed; {which}: {error.message}"
        raise


def _failed(ended: JobReturn) -> bool:
    return ended.status is not JobStatus.COMPLETED
