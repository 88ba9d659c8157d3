"""Weights & Biases as a tracker."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from tts.errors import ConfigError
from tts.integrations._libraries import library

_HOST = "https://api.wandb.ai"


class WeightsAndBiases:
    """Keeps runs in Weights & Biases. Implements `tts.integrations.tracking.Tracker`.

    Args:
        project: Runs are filed under this.
        entity: A user or a team; None for the user's own default.
        mode: `online`, or `offline`: written to `folder`, for `wandb sync` later.
        folder: Where its files go, below a folder `wandb` that it makes.

    Raises:
        ConfigError: wandb is not installed, the mode is unknown, or nobody is logged in.
    """

    name = "Weights & Biases"

    def __init__(
        self,
        project: str = "tts",
        entity: str | None = None,
        mode: Literal["online", "offline"] = "offline",
        folder: str = ".",
    ) -> None:
        if mode not in ("online", "offline"):
            raise ConfigError(
                f"tracker.mode is {mode!r}; it must be online or offline.",
                hint="Set tracker.mode=offline.",
            )
        self._wandb = library("wandb", "tracking")
        if mode == "online" and not _logged_in():
            raise ConfigError(
                "Nobody is logged in to Weights & Biases.",
                hint="Run `wandb login`, set WANDB_API_KEY, or set tracker.mode=offline.",
            )
        self._project, self._entity, self._mode, self._folder = project, entity, mode, folder

    def begin(self, name: str, parameters: Mapping[str, str]) -> _WandbRun:
        """Start a run."""
        Path(self._folder).mkdir(parents=True, exist_ok=True)
        run = self._wandb.init(
            project=self._project,
            entity=self._entity,
            mode=self._mode,
            dir=self._folder,
            name=name,
            config=dict(parameters),
            reinit="create_new",  # arms do not know of each other
            settings=self._wandb.Settings(
                silent=True, console="off", disable_git=True, save_code=False
            ),
        )
        return _WandbRun(run)


class _WandbRun:
    """One run of Weights & Biases. Implements `tts.integrations.tracking.Book`."""

    def __init__(self, run: Any) -> None:
        self._run = run

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def keep(self, files: Sequence[Path]) -> None:
        # Copies, in a folder of their own: W&B writes a config.yaml too, and would do so to ours.
        folder = Path(self._run.dir) / "tts"
        folder.mkdir(exist_ok=True)
        for path in files:
            copy = shutil.copy2(path, folder)
            self._run.save(str(copy), base_path=self._run.dir, policy="now")

    def close(self, *, failed: bool) -> None:
        self._run.finish(exit_code=int(failed))


def _logged_in() -> bool:
    """Whether a key is at hand, without asking anybody."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL", _HOST)).hostname or ""
    try:
        return netrc().authenticators(host) is not None
    except (OSError, NetrcParseError):
        return False
