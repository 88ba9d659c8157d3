"""Ray itself: joined or started, quietly, and left as it was found."""

from __future__ import annotations

import importlib.util
import math
import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tts.errors import BackendError, ConfigError

_QUIETLY = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
_MIB = 1 << 20
_KNOCK_SECONDS = 10.0


def check_installed() -> None:
    """Refuse to go on without Ray.

    Raises:
        ConfigError: It is not installed.
    """
    if importlib.util.find_spec("ray") is None:
        raise ConfigError(
            "executor=ray needs Ray, which is not installed.",
            hint="pip install 'tts-scaling[ray]'",
        )


class Cluster:
    """A connection to a Ray cluster.

    Args:
        address: Of a running one (`auto` for the one of this machine); None to start one here,
            for as long as we need it. A connection that this process has already is used.
        cpus: Processors that one started here should have at least, real or not.
        object_store: What one started here may keep in shared memory (MiB).
    """

    def __init__(self, address: str | None, cpus: float, object_store: int) -> None:
        self._address, self._cpus, self._object_store = address, cpus, object_store
        self._ours = False

    def join(self) -> None:
        """Connect. Takes seconds, and blocks: Ray wants the main thread for its signals.

        Raises:
            ConfigError: There is no cluster at the address, or it cannot be used from here.
            BackendError: None came up here.
        """
        import ray

        if ray.is_initialized():
            return
        quietly: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        try:
            with _own_signals(), _variables(_QUIETLY):
                if self._address is None:
                    ray.init("local", **self._local(), **quietly)
                else:
                    _knock(self._address)
                    ray.init(self._address, **quietly)
        except (RuntimeError, ValueError, OSError) as error:
            raise self._explain(error) from error
        self._ours = True

    def lacks(self, wanted: Mapping[str, float]) -> str:
        """What there is too little of, in words; empty if there is enough.

        Args:
            wanted: Amounts by name, such as `CPU` and `GPU`.
        """
        import ray

        there: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        short = [name for name, amount in wanted.items() if amount > there.get(name, 0.0)]
        return ", ".join(f"{there.get(n, 0.0):g} of {wanted[n]:g} {n}" for n in short)

    @property
    def grows(self) -> bool:
        """Whether nodes may still join it."""
        return self._address is not None

    def leave(self) -> None:
        """Disconnect, and end what was started here."""
        import ray

        if self._ours and ray.is_initialized():
            with _own_signals():
                ray.shutdown()
        self._ours = False

    def _local(self) -> dict[str, Any]:
        return {
            "num_cpus": max(os.cpu_count() or 1, math.ceil(self._cpus)),
            "include_dashboard": False,
            "object_store_memory": self._object_store * _MIB,
        }

    def _explain(self, error: Exception) -> ConfigError | BackendError:
        why = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        if self._address is None:
            return BackendError(f"Ray did not start on this machine: {why}.")
        return ConfigError(
            f"executor.address is {self._address!r}, and no Ray cluster can be joined there:"
            f" {why}.",
            hint="Start one with `ray start --head` (if it asks for a token, set"
            " RAY_AUTH_MODE=token here), or set executor.address=null to run on this machine"
            " alone.",
        )


def _knock(address: str) -> None:
    """Look whether anybody listens there: Ray itself would try for many minutes.

    Raises:
        OSError: Nobody does.
        ValueError: It is neither `auto` nor host:port.
    """
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError("it is neither auto nor host:port")
    with socket.create_connection((host, int(port)), _KNOCK_SECONDS):
        pass


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep Ray from taking over SIGTERM, which ends a run in order."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None:  # one that Python has not set, and cannot set again
            signal.signal(signal.SIGTERM, before)


@contextmanager
def _variables(wanted: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables that are not set, for what is started meanwhile."""
    new = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            os.environ.pop(name, None)
