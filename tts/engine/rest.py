"""An engine at rest: paused, and nothing new is sent to it, or asleep, and its memory given back.

Requests wait in front of the engine and not in its queue: so those that are cancelled meanwhile
leave no trace, and an engine that dies while it rests takes none of them with it. What is in flight
either goes on to its end (`drained`) or stands still where it is (`now`): vLLM's
`pause_generation(mode="keep", clear_cache=False)`, which schedules nothing any more, keeps the KV
cache of every sequence and every cached prefix, and takes up all of them again. Time that a request
stands still counts as its own: deadlines go on.

Sleep is vLLM's sleep mode. Level 1 moves the weights to main memory, level 2 throws them away and
reads them again when the engine wakes; both give the KV cache back, and with it all cached
prefixes. Written from vLLM 0.32's source, and never run: it needs a CUDA device.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Literal, get_args

from tts.engine.flight import Flight, translate
from tts.engine.memory import Tenant, tenants
from tts.engine.resolved import ResolvedConfig
from tts.engine.stats import EngineStats
from tts.errors import ConfigError, EngineDead, Unsupported

When = Literal["now", "drained"]
"""What becomes of requests in flight: they stand still, or go on to their ends."""

_LOOK_SECONDS = 0.5  # between two looks at whether the engine still lives


class Rest:
    """Pauses an engine, puts it to sleep, and has requests wait meanwhile.

    Args:
        config: Of the engine.
        stats: Its counts.
        tenant: Its memory.
        flights: What is in flight; the engine adds to it, and takes away.
        claim: Tells other processes how many GiB it takes from now on; raises if they have them.

    An `llm` is the engine's `AsyncLLM` here, or None while there is none.
    """

    def __init__(
        self,
        config: ResolvedConfig,
        stats: EngineStats,
        tenant: Tenant,
        flights: Collection[Flight],
        claim: Callable[[float], None],
    ) -> None:
        self._config, self._stats = config, stats
        self._tenant, self._flights, self._claim = tenant, flights, claim
        self._opened: asyncio.Event | None = None  # only while requests wait
        self._frozen: Any = None  # the engine whose requests stand still
        self._level = 0

    @property
    def paused(self) -> bool:
        """Whether nothing new is sent."""
        return self._opened is not None

    @property
    def asleep(self) -> bool:
        """Whether the engine has given its memory back."""
        return self._level > 0

    async def passed(self) -> None:
        """Wait until requests may be sent."""
        while self._opened is not None:
            self._stats.held += 1
            try:
                await self._opened.wait()
            finally:
                self._stats.held -= 1

    def end(self) -> None:
        """Let all go on that wait: the engine is closed, which each finds out by itself."""
        if self._opened is not None:
            self._opened.set()
            self._opened = None

    async def pause(self, llm: Any, when: When = "drained") -> None:
        """Send nothing new. If this is cancelled or fails, the engine goes on as before.

        Args:
            llm: The engine.
            when: Whether requests in flight go on to their ends, which is waited for, or stand
                still at once.

        Raises:
            ConfigError: There is no such way, or the engine is asleep.
            Unsupported: This version of vLLM cannot hold requests still.
            EngineDead: The engine has died meanwhile.
        """
        if when not in get_args(When):
            raise ConfigError(f"when is {when!r}; it must be one of {', '.join(get_args(When))}.")
        self._check_awake()
        first = self._opened is None
        if self._opened is None:
            self._opened = asyncio.Event()
        try:
            if when == "now":
                await self._freeze(llm)
            else:
                await self._thaw(llm)
                await self._drain()
        except BaseException:
            if first:
                await self.resume(llm)
            raise

    async def resume(self, llm: Any) -> None:
        """Go on: what stands still, then what waits. Does nothing if the engine is not paused.

        Raises:
            ConfigError: The engine is asleep.
        """
        self._check_awake()
        try:
            await self._thaw(llm)
        finally:
            self.end()

    async def sleep(self, llm: Any, level: int = 1) -> None:
        """Let requests in flight end, send nothing new, and give the GPU's memory back.

        Args:
            llm: The engine.
            level: 1 keeps the weights in main memory, 2 keeps nothing.

        Raises:
            Unsupported: The engine lives on a processor.
            ConfigError: It was not started with `enable_sleep_mode`, is not running, or there is no
                such level.
            EngineDead: It has died meanwhile.
        """
        if level not in (1, 2):
            raise ConfigError(f"level is {level!r}; it must be 1 or 2.")
        check_sleep(self._config)
        if self._level:
            return
        if llm is None:
            raise ConfigError(
                f"The engine of {self._config.model} is not running, so it cannot sleep.",
                hint="Start it first, or leave it as it is: it takes no memory yet.",
            )
        await self.pause(llm, "drained")
        try:
            await _answered(llm, llm.sleep(level))
        except BaseException:
            self.end()
            raise
        self._level = level
        self._tenant.lie_down()
        self._claim(self._tenant.taken or 0.0)

    async def wake(self, llm: Any) -> None:
        """Take the memory again, and go on. Does nothing if the engine is not asleep.

        Raises:
            ConfigError: Another engine has taken the memory meanwhile; this one sleeps on.
            EngineDead: It has died in its sleep; the next request starts it again, once.
        """
        if not self._level:
            return
        self._tenant.get_up([t for t in tenants(on_gpu=True) if t is not self._tenant])
        try:
            self._claim(self._tenant.taken or 0.0)
        except ConfigError:
            self._tenant.lie_down()
            raise
        level, self._level = self._level, 0
        try:
            if llm is None or llm.errored:
                raise EngineDead(f"The engine of {self._config.model} has died in its sleep.")
            if level == 1:
                await _answered(llm, llm.wake_up())
            else:  # the weights must be there before anything else is
                await _answered(llm, llm.wake_up(["weights"]))
                await _answered(llm, llm.collective_rpc("reload_weights"))
                await _answered(llm, llm.wake_up(["kv_cache"]))
        finally:
            self.end()

    def _check_awake(self) -> None:
        if self._level:
            raise ConfigError(
                f"The engine of {self._config.model} is asleep.", hint="Call wake() first."
            )

    async def _freeze(self, llm: Any) -> None:
        """Have what is in flight stand still."""
        if llm is None or llm.errored or self._frozen is llm:
            return
        pausing = getattr(llm, "pause_generation", None)
        if pausing is None or "mode" not in inspect.signature(pausing).parameters:
            raise Unsupported(
                "This version of vLLM cannot hold requests still.", hint="Pause when='drained'."
            )
        self._frozen = llm
        await _answered(llm, pausing(mode="keep", clear_cache=False))

    async def _thaw(self, llm: Any) -> None:
        """Have what stands still go on. A dead engine has told those that waited for it."""
        frozen, self._frozen = self._frozen, None
        if frozen is not None and frozen is llm and not llm.errored:
            await _answered(llm, llm.resume_generation())

    async def _drain(self) -> None:
        """Wait until nothing is in flight, or somebody has resumed."""
        while self._opened is not None and (left := list(self._flights)):
            await asyncio.gather(*(flight.over() for flight in left))
            await asyncio.sleep(0)  # so that they are forgotten


def check_sleep(config: ResolvedConfig) -> None:
    """Refuse sleep where it cannot be had.

    Raises:
        Unsupported: The engine lives on a processor.
        ConfigError: It is not started for it.
    """
    if not config.on_cuda:
        raise Unsupported(
            f"The engine of {config.model} runs on a processor, where sleep frees no memory and"
            " requests would hang.",
            hint="Pause it, or close it and make a new one.",
        )
    if not config.arguments.get("enable_sleep_mode"):
        raise ConfigError(
            f"The engine of {config.model} was not started so that it can sleep.",
            hint=f"Set {config.place}.enable_sleep_mode to true.",
        )


async def _answered(llm: Any, answer: Awaitable[object]) -> None:
    """Wait for the engine's answer, or its death: a dead one answers nothing."""
    asked = asyncio.ensure_future(answer)
    try:
        while not asked.done():
            await asyncio.wait({asked}, timeout=_LOOK_SECONDS)
            if not asked.done() and llm.errored:
                raise EngineDead("The engine's process has died.")
    except BaseException:
        asked.cancel()
        raise
    try:
        asked.result()
    except Exception as error:
        raise translate(error) from error
