"""Workloads that do not come up, in the ways in which that happens; made in a trial's process."""

from __future__ import annotations

import os
import signal
import time

from tts.errors import ConfigError


def unusable(settings):
    """The checks refuse it."""
    raise ConfigError(f"threads is {settings['threads']}.")


def broken(settings):
    """A fault of ours."""
    raise ValueError("broken on purpose")


def killed(settings):
    """Out of memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def slow(settings):
    """It hangs."""
    time.sleep(600)


def told(settings):
    """It says under which variables it was started."""
    raise ConfigError(f"TUNED is {os.environ['TUNED']}, in session {os.getsid(0)}.")
