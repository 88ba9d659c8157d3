"""What `OpenAIBackend` adds to a request, against the bare `AsyncOpenAI` client.

Run: `python benchmarks/openai_overhead.py [--json FILE]`. Both sides send the same chats to a
server that answers at once, in a process of its own, so that the client alone is measured. They
take turns in one process, and who begins alternates; each must get every answer in full. Reported
are, for whole replies and for streams, the median of the pairwise ratios of seconds a request with
a bootstrap interval (percentiles, 95%), the same of CPU seconds of this process (which what else
the machine does disturbs less), and how many connections were opened. (Left idle for more than five
seconds, connections of the bare client are closed, and opened anew in its next round.)
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tts
from tts.backends.openai import OpenAIBackend

MODEL = "instant"
WORDS = [f"word{number} " for number in range(16)]
TEXT = "".join(WORDS)
_MAX_TOKENS = 100


# --- the server -----------------------------------------------------------------------------------


def _choice(**what: object) -> dict[str, Any]:
    return {"id": "x", "object": "x", "created": 0, "model": MODEL, "choices": [what]}


def _replies() -> tuple[bytes, bytes]:
    """A whole reply and a stream."""
    usage = {"prompt_tokens": 9, "completion_tokens": len(WORDS), "total_tokens": 9 + len(WORDS)}
    message = {"role": "assistant", "content": TEXT}
    whole = _choice(index=0, message=message, finish_reason="stop") | {"usage": usage}
    events = [_choice(index=0, delta={"content": word}, finish_reason=None) for word in WORDS]
    events.append(_choice(index=0, delta={}, finish_reason="stop"))
    events.append({**events[0], "choices": [], "usage": usage})
    lines = [*map(json.dumps, events), "[DONE]"]
    return json.dumps(whole).encode(), "".join(f"data: {line}\n\n" for line in lines).encode()


def _http(body: bytes, kind: str = "application/json") -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class _Instant(asyncio.Protocol):
    """Answers every request at once; counts the connections."""

    opened = 0
    whole, stream = (_http(_replies()[0]), _http(_replies()[1], "text/event-stream"))
    card = _http(json.dumps({"data": [{"id": MODEL, "owned_by": "us"}]}).encode())

    def __init__(self) -> None:
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        self._transport: Any = transport
        type(self).opened += 1

    def data_received(self, data: bytes) -> None:
        """Answer each request that is complete."""
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = self._data[:end].lower()
            size = 0
            if b"content-length:" in head:
                size = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
            if len(self._data) < end + 4 + size:
                return
            body, self._data = self._data[end + 4 : end + 4 + size], self._data[end + 4 + size :]
            self._transport.write(self._answer(head, body))

    def _answer(self, head: bytes, body: bytes) -> bytes:
        if head.startswith(b"get /v1/models"):
            return self.card
        if head.startswith(b"get /opened"):
            return _http(str(type(self).opened).encode())
        return self.stream if b'"stream":true' in body.replace(b" ", b"") else self.whole


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Instant, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def instant_server() -> Iterator[str]:
    """Address of the server, in a process that ends with the block."""
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


def _opened(address: str) -> int:
    """Connections until now, this one not counted."""
    with urllib.request.urlopen(f"{address}/opened") as reply:
        return int(reply.read())


# --- the two sides --------------------------------------------------------------------------------


def _question(number: int) -> str:
    return f"question {number}"


def through_tts(backend: OpenAIBackend, watch: bool) -> Callable[[int], Awaitable[str]]:
    """Asks one question through the backend."""
    sampling, root = tts.Sampling(), tts.Trajectory.root()

    async def one(number: int) -> str:
        problem = tts.Problem.chat(str(number), _question(number))
        request = tts.Request(
            problem, root, sampling=sampling, max_tokens=_MAX_TOKENS, seed=number, watch=watch
        )
        async with backend.open(request) as stream:
            async for _ in stream:
                pass
        return stream.trajectory.text

    return one


def bare(client: Any, watch: bool) -> Callable[[int], Awaitable[str]]:
    """Asks one question through the client alone."""

    async def one(number: int) -> str:
        arguments = {
            "model": MODEL,
            "messages": [{"role": "user", "content": _question(number)}],
            "max_tokens": _MAX_TOKENS,
            "temperature": tts.Sampling().temperature,
            "top_p": 1.0,
        }
        if not watch:
            reply = await client.chat.completions.create(**arguments)
            return str(reply.choices[0].message.content)
        text = ""
        options = {"include_usage": True}
        async with await client.chat.completions.create(
            **arguments, stream=True, stream_options=options
        ) as stream:
            async for event in stream:
                if event.choices:
                    text += event.choices[0].delta.content or ""
        return text

    return one


async def _round(
    one: Callable[[int], Awaitable[str]], requests: int, in_flight: int
) -> tuple[float, float]:
    """Seconds and CPU seconds a request."""
    slots = asyncio.Semaphore(in_flight)

    async def kept(number: int) -> str:
        async with slots:
            return await one(number)

    wall, cpu = time.perf_counter(), time.process_time()
    texts = await asyncio.gather(*(kept(number) for number in range(requests)))
    spent = (time.perf_counter() - wall) / requests, (time.process_time() - cpu) / requests
    if set(texts) != {TEXT}:
        raise SystemExit("every request must be answered in full")
    return spent


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Bootstrap interval of the median, 95%, by percentiles."""
    import numpy as np
    from scipy.stats import bootstrap

    found = bootstrap((values,), np.median, method="percentile", rng=np.random.default_rng(0))
    low, high = found.confidence_interval
    return float(low), float(high)


async def measure(
    address: str, *, watch: bool, rounds: int, requests: int, in_flight: int
) -> dict[str, Any]:
    """Alternate both sides on one server."""
    import openai

    url = f"{address}/v1"
    limits = {"in_flight": in_flight}
    spent: dict[str, list[tuple[float, float]]] = {"bare": [], "tts": []}
    opened = dict.fromkeys(spent, 0)
    async with (
        openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client,
        OpenAIBackend(MODEL, url, limits=limits) as backend,
    ):
        sides = {"bare": bare(client, watch), "tts": through_tts(backend, watch)}
        for number in range(-1, rounds):  # the first round warms up
            for name in sorted(sides, reverse=number % 2 > 0):
                before = _opened(address)
                figures = await _round(sides[name], requests, in_flight)
                opened[name] += _opened(address) - before - 1
                if number >= 0:
                    spent[name].append(figures)
    return _row("stream" if watch else "whole", spent, opened, in_flight)


def _row(
    kind: str,
    spent: dict[str, list[tuple[float, float]]],
    opened: dict[str, int],
    in_flight: int,
) -> dict[str, Any]:
    row: dict[str, Any] = {"kind": kind, "in_flight": in_flight, "connections": opened}
    for place, name in enumerate(("seconds", "cpu_seconds")):
        ours = [figures[place] for figures in spent["tts"]]
        theirs = [figures[place] for figures in spent["bare"]]
        ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
        row[name] = {
            "tts": statistics.median(ours),
            "bare": statistics.median(theirs),
            "ratio_median": statistics.median(ratios),
            "ratio_interval": interval(ratios),
        }
    return row


def _line(row: dict[str, Any]) -> str:
    parts = []
    for name in ("seconds", "cpu_seconds"):
        each = row[name]
        low, high = each["ratio_interval"]
        parts.append(
            f"{name.replace('_', ' ')} a request: tts / bare {each['ratio_median']:.2f}"
            f" [{low:.2f}, {high:.2f}] ({each['tts'] * 1e6:,.0f} and {each['bare'] * 1e6:,.0f} µs)"
        )
    opened = row["connections"]
    parts.append(f"connections: tts {opened['tts']}, bare {opened['bare']}")
    return f"{row['kind']}, {row['in_flight']} in flight: {'; '.join(parts)}"


def main() -> None:
    """Measure and print; with `--json`, write as well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--requests", type=int, default=1000, help="in each round")
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(_serve())
        return
    rows = []
    for watch in (False, True):
        with instant_server() as address:
            row = asyncio.run(
                measure(
                    address,
                    watch=watch,
                    rounds=arguments.rounds,
                    requests=arguments.requests,
                    in_flight=arguments.in_flight,
                )
            )
        rows.append(row)
        print(_line(row))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
