"""Life cycle of an engine: start, death, one restart, and an end without leftovers.

Around vLLM's `AsyncLLM`; run on version 0.32 (CPU build). Only what versions 0.19 to 0.24 have as
well is used: `AsyncEngineArgs`, `AsyncLLM.from_engine_args`, `generate`, `encode`, `abort`,
`errored`, `shutdown`, and the stat logger's `record`.

An engine is bound to the event loop in which it was first used: its outputs arrive there. It cannot
be handed to another loop, nor be used from another thread.
"""

from __future__ import annotations

import asyncio
import atexit
import itertools
import logging
from dataclasses import replace
from functools import partial
from typing import Any, Self, TypeVar

from tts.engine.adapters import Adapter
from tts.engine.census import State, enter, leave, place
from tts.engine.decode import Decode
from tts.engine.encode import Encode
from tts.engine.flight import Flight
from tts.engine.heap import HEAP
from tts.engine.launch import Report, end, launch, load_adapters
from tts.engine.memory import Tenant, tenants
from tts.engine.neighbours import claim, release
from tts.engine.perusal import Perusal
from tts.engine.progress import Progress
from tts.engine.resolved import ResolvedConfig
from tts.engine.rest import Rest, When
from tts.engine.stats import EngineStats
from tts.errors import BackendError, ConfigError, EngineDead

_LOG = logging.getLogger("tts.engine")
_Kind = TypeVar("_Kind", bound=Flight)


class Engine:
    """One engine: started on first use, started again once if it dies.

    Args:
        config: Its settings.
        report: Told what takes long, about once a second; by default a line on a terminal, and the
            logger `tts.engine` elsewhere.

    Attributes:
        config: Its settings.
        stats: What it has done.
        number: Of the engine in this process, from 0.
        role: What it is for: `policy`, `reward` or `draft`.
    """

    def __init__(self, config: ResolvedConfig, report: Report | None = None) -> None:
        self.config = config
        self.stats = EngineStats()
        self._report = report or Progress()
        self._llm: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting: asyncio.Lock | None = None
        self._closed = False
        self._ids = itertools.count()
        self._live: set[Flight] = set()
        self._tenant = Tenant(config.footprint)
        self._tenant.move_in()
        self.number, self.role = place(config.role)
        claims = partial(claim, self.number, config)
        self._rest = Rest(config, self.stats, self._tenant, self._live, claims)
        enter(self)  # last, as others look at it from now on

    @property
    def state(self) -> State:
        """What it is at; may be asked from any thread."""
        llm = self._llm
        if llm is not None and llm.errored:
            return "dead"
        if self._rest.asleep:
            return "asleep"
        if self._rest.paused:
            return "paused"
        if llm is not None:
            return "running"
        return "starting" if self._starting is not None and self._starting.locked() else "stopped"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def start(self) -> None:
        """Bring the engine up; safe to call again, and from several tasks at once.

        Raises:
            EngineStartFailed: It did not come up.
            EngineDead: It has died twice.
            ConfigError: It belongs to another event loop, or was closed.
        """
        await self.client()

    async def ready(self) -> None:
        """Wait until it runs and takes requests, for one that is sent right after.

        Raises:
            As `start`.
        """
        while True:
            await self._rest.passed()
            await self.client()
            if not self._rest.paused:  # it may have been paused while it was started
                return

    async def client(self) -> Any:
        """The running `AsyncLLM`, started if it must be. Raises as `start` does."""
        llm, here = self._llm, self._loop is asyncio.get_running_loop()
        if llm is not None and here and not (self._closed or llm.errored):
            return llm
        self._check_loop()
        assert self._starting is not None
        async with self._starting:
            self._check_loop()  # it may have been closed meanwhile
            if self._llm is not None and self._llm.errored:
                await self._bury()
            if self._llm is None:
                self._llm = await self._launch()
                HEAP.hold()
                atexit.register(self._kill)
            return self._llm

    async def _launch(self) -> Any:
        """Start the engine with its share of the memory."""
        others = [t for t in tenants(on_gpu=self.config.on_cuda) if t is not self._tenant]
        share = self._tenant.settle(others)
        config = replace(self.config, arguments={**self.config.arguments, **share})
        try:
            claim(self.number, self.config, self._tenant.taken or 0.0)
            llm = await launch(config, self.stats, self._report)
            await load_adapters(llm, config)
            return llm
        except BaseException:
            self._tenant.taken = None
            release(self.number)
            raise

    def _check_loop(self) -> None:
        if self._closed:
            raise ConfigError("This engine was closed.", hint="Make a new backend.")
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop, self._starting = loop, asyncio.Lock()
        elif self._loop is not loop:
            raise ConfigError(
                "This engine belongs to another event loop.",
                hint="Keep one loop for all calls (one asyncio.run), or make a new backend.",
            )

    async def _bury(self) -> None:
        """Clear away a dead engine, and decide whether there is to be another."""
        if self.stats.restarts:
            error = EngineDead(
                "The engine has died a second time, and is not started again.",
                hint="See its log with VLLM_LOGGING_LEVEL=INFO; too little memory is the usual"
                " cause.",
            )
            error.retryable = False
            raise error
        await asyncio.to_thread(self._kill)
        self.stats.restarts += 1
        self.stats.running = self.stats.waiting = 0
        _LOG.warning("the engine has died; it is started again, once")

    async def pause(self, when: When = "drained") -> None:
        """Send nothing new; see `tts.engine.rest.Rest.pause`. Raises as it does."""
        self._check_loop()
        await self._rest.pause(self._llm, when)

    async def resume(self) -> None:
        """Go on after `pause`; does nothing otherwise. Raises as `Rest.resume` does."""
        self._check_loop()
        await self._rest.resume(self._llm)

    async def sleep(self, level: int = 1) -> None:
        """Give the GPU's memory back; see `tts.engine.rest.Rest.sleep`. Raises as it does."""
        self._check_loop()
        await self._rest.sleep(self._llm, level)

    async def wake(self) -> None:
        """Go on after `sleep`; does nothing otherwise. Raises as `Rest.wake` does."""
        self._check_loop()
        await self._rest.wake(self._llm)

    def decode(self, prompt: list[int], params: Any, adapter: Adapter | None = None) -> Decode:
        """Send a request that generates; the engine must have been started.

        Args:
            prompt: Token ids, at least one; together with `max_tokens` within `max_model_len`.
            params: A `vllm.SamplingParams` that has been checked: a bad request can kill the
                engine, and with it all others.
            adapter: One of the engine's; None for the model without any.

        Raises:
            EngineDead: It is not running.
        """
        lora = adapter and adapter.request()
        return self._followed(Decode(self._running(), prompt, params, self._next_id(), lora))

    def encode(self, prompt: list[int], params: Any) -> Encode:
        """Send a request for a pooling model's values; the engine must have been started.

        Args:
            prompt: Token ids, at least one and at most `max_model_len`.
            params: A `vllm.PoolingParams` that has been checked, see `decode`.

        Raises:
            EngineDead: It is not running.
        """
        return self._followed(Encode(self._running(), prompt, params, self._next_id()))

    def peruse(self, ids: list[int], top: int, adapter: Adapter | None = None) -> Perusal:
        """Send a request that reads; the engine must have been started.

        Args:
            ids: Token ids of the vocabulary, at least two and fewer than `max_model_len`.
            top: Of how many of the likeliest tokens the values are wanted at every place, 0 to
                `max_logprobs`.
            adapter: One of the engine's; None for the model without any.

        Raises:
            EngineDead: It is not running.
        """
        lora = adapter and adapter.request()
        return self._followed(Perusal(self._running(), ids, top, self._next_id(), lora))

    def _running(self) -> Any:
        if self._llm is None:
            raise EngineDead("The engine is not running.")
        return self._llm

    def _next_id(self) -> str:
        return f"{id(self):x}-{next(self._ids)}"

    def _followed(self, flight: _Kind) -> _Kind:
        self._live.add(flight)
        self.stats.requests = len(self._live)
        flight.when_done(lambda: self._forget(flight))
        return flight

    def _forget(self, flight: Flight) -> None:
        self._live.discard(flight)
        self.stats.finished[flight.ending] += 1
        self.stats.requests = len(self._live)
        if not self._live:  # an idle engine takes no step, so it says nothing of its idleness
            self.stats.running = self.stats.waiting = 0

    async def aclose(self) -> None:
        """Abort what is in flight, and end the engine's processes; safe to call again."""
        self._closed = True
        self._rest.end()
        leave(self)
        try:
            if self._starting is not None and self._loop is asyncio.get_running_loop():
                async with self._starting:
                    await asyncio.gather(*(flight.close() for flight in self._live))
                    await asyncio.to_thread(self._kill)
            else:
                self._kill()
        finally:
            self._tenant.move_out()

    def _kill(self) -> None:
        """Stop the processes; also called at interpreter exit, where no loop runs any more."""
        llm, self._llm = self._llm, None
        self._tenant.taken = None
        release(self.number)
        if llm is None:
            return
        atexit.unregister(self._kill)
        HEAP.release()
        try:
            end(llm)
        except Exception as error:
            raise BackendError(f"The engine did not shut down cleanly: {error}") from error
