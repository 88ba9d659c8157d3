"""One worker of a Ray cluster, seen from here. The only module that speaks to its actor."""

from __future__ import annotations

import asyncio
from typing import Any

from tts.errors import BackendError
from tts.executors._flat import unpack

_CLOSING_SECONDS = 10.0
_AT_ONCE = 1_000_000  # calls that an actor takes; how many there are is decided here


class Lost(Exception):
    """A worker is gone, or can do nothing any more, and with it what it was doing."""


class Member:
    """A worker, an actor of its own.

    Args:
        options: What it takes of the cluster, as of `ray.remote`.

    Attributes:
        load: Problems that it has in hand.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        import ray

        from tts.executors._worker import Worker

        # Not restarted by Ray: that would repeat calls behind our back, unpaid.
        fixed = {"max_restarts": 0, "max_task_retries": 0, "max_concurrency": _AT_ONCE}
        remote: Any = ray.remote  # its types know neither actors' options nor their methods
        self._actor = remote(**fixed, **options)(Worker).remote()
        self.load = 0

    async def placed(self, seconds: float) -> bool:
        """Whether the cluster finds a place for it within some seconds.

        Raises:
            Lost: It found one, and the worker's process ended at once.
        """
        try:
            await asyncio.wait_for(_answer(self._actor.__ray_ready__.remote()), seconds)
        except TimeoutError:
            return False
        return True

    async def ask(self, method: str, *args: object) -> Any:
        """Call a method of `tts.executors._worker.Worker`.

        Raises:
            Lost: The worker is gone.
            Exception: What the method raised.
        """
        value = unpack(await _answer(getattr(self._actor, method).remote(*args)))
        if isinstance(value, Exception):
            raise value
        return value

    async def aclose(self) -> None:
        """Let it close its engines, and end it."""
        try:
            await asyncio.wait_for(_answer(self._actor.aclose.remote()), _CLOSING_SECONDS)
        except (TimeoutError, Lost, BackendError):
            pass  # it ends in any case
        finally:
            self.kill()

    def kill(self) -> None:
        """End its process at once."""
        import ray

        ray.kill(self._actor, no_restart=True)


async def _answer(ref: Any) -> Any:
    """What a call returns; cancelling the wait cancels the call."""
    import ray
    from ray.exceptions import RayError, RayTaskError

    try:
        return await ref
    except asyncio.CancelledError:
        ray.cancel(ref)
        raise
    except RayTaskError as error:  # the worker is alive: the fault is in the code, or its version
        raise BackendError(f"A Ray worker failed: {error.cause!r}.") from error
    except RayError as error:
        raise Lost(_first_line(error)) from error


def _first_line(error: Exception) -> str:
    """The gist of one of Ray's messages, which run over many lines."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
