"""A small HTTP/1.1 server in a thread of its own, on a free port of the loopback device.

In a thread, because backends may ask a server while the test's event loop stands still. It knows
nothing of what is served; what sets it apart from a library is that a handler can break a reply
off anywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NoReturn, Self


class HangUp(Exception):
    """The connection is to be closed at once."""


_ENDS = (HangUp, OSError, asyncio.IncompleteReadError, asyncio.CancelledError)


@dataclass(frozen=True)
class Incoming:
    """A request. Names of headers are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Outgoing:
    """The way back to the client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._begun = False

    async def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        """A whole reply."""
        await self._write(self._head(status, {"Content-Length": str(len(body)), **(headers or {})}))
        await self._write(body)

    async def broken(self, body: bytes) -> None:
        """The head of a reply and half of its body."""
        await self._write(self._head(200, {"Content-Length": str(len(body))}))
        await self._write(body[: len(body) // 2])
        self.hang_up()

    async def begin(self) -> None:
        """The head of a reply that comes in chunks."""
        kind = {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"}
        await self._write(self._head(200, kind))

    async def chunk(self, data: bytes) -> None:
        """One chunk; an empty one ends the reply."""
        await self._write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    async def event(self, what: object) -> None:
        """One server-sent event."""
        text = what if isinstance(what, str) else json.dumps(what)
        await self.chunk(f"data: {text}\n\n".encode())

    def hang_up(self) -> NoReturn:
        """Close in the middle of a reply, or reset the connection before it."""
        if not self._begun:  # a reset would swallow what is on its way
            linger = struct.pack("ii", 1, 0)
            held = self._writer.get_extra_info("socket")
            held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        raise HangUp

    async def until_left(self) -> None:
        """Wait until the client hangs up."""
        await self._reader.read()
        raise ConnectionResetError

    async def wait(self, event: asyncio.Event) -> None:
        """Wait for an event, or until the client hangs up."""
        ways = [asyncio.ensure_future(way) for way in (event.wait(), self.until_left())]
        try:
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        for way in done:
            way.result()

    def _head(self, status: int, headers: dict[str, str]) -> bytes:
        lines = [f"HTTP/1.1 {status} Scripted"]
        lines += [f"{k}: {v}" for k, v in {"Content-Type": "application/json", **headers}.items()]
        return "\r\n".join([*lines, "", ""]).encode()

    async def _write(self, data: bytes) -> None:
        if self._writer.transport.is_closing():
            raise ConnectionResetError
        self._begun = True
        self._writer.write(data)
        await self._writer.drain()


Handler = Callable[[Incoming, Outgoing], Awaitable[None]]


class ThreadedServer:
    """Serves while its block lasts.

    Attributes:
        port: Where it listens.
        connections: How many have been accepted.
    """

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def soon(self, function: Callable[[], object]) -> None:
        """Call a function in the server's thread."""
        self._loop.call_soon_threadsafe(function)

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0.01)  # closed transports say good-bye in a turn of the loop to come

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            # Gone clients and broken connections are what this server is for.
            with contextlib.suppress(*_ENDS):
                while True:
                    await self._handler(await _read(reader), Outgoing(reader, writer))
        finally:
            self._tasks.discard(task)
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Incoming:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split(" ")
    pairs = (line.partition(": ") for line in head[1:] if line)
    headers = {name.lower(): value for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Incoming(method, path, headers, body)
