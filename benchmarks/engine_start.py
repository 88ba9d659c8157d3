"""Seconds until an engine is up on a processor: forked, and spawned as vLLM does by itself.

Run: `python -m benchmarks.engine_start [--rounds N] [--json FILE]`. Each round runs two programs in
processes of their own, one after the other, each with two engines of `mini-reasoner`: the second
starts while the first is up. The clock of the first runs from the program's first line, imports
included; modules are compiled and files are read beforehand. Reported are medians and ranges.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

_SPAWNED = {"VLLM_WORKER_MULTIPROC_METHOD": "spawn"}  # who says so himself gets no forks
_SETTINGS = {"max_model_len": 256, "kv_cache_gib": 0.1, "max_num_seqs": 8}


async def child() -> list[float]:
    """Start two engines; the seconds of each."""
    begun = time.perf_counter()
    from tts.backends.vllm import VLLMBackend

    async with VLLMBackend("mini-reasoner", _SETTINGS):
        first = time.perf_counter() - begun
        begun = time.perf_counter()
        async with VLLMBackend("mini-reasoner", _SETTINGS):
            return [first, time.perf_counter() - begun]


def program(variables: Mapping[str, str]) -> list[float]:
    """The seconds of both engines of a program of its own."""
    command = [sys.executable, "-m", "benchmarks.engine_start", "--child"]
    said = subprocess.run(
        command, env={**os.environ, **variables}, check=True, capture_output=True, text=True
    )
    found: list[float] = json.loads(said.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure and print; with `--json`, write as well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(asyncio.run(child())))
        return
    ways: dict[str, Mapping[str, str]] = {"forked": {}, "spawned": _SPAWNED}
    program({})  # warms the disk's cache
    times: dict[str, list[list[float]]] = {name: [] for name in ways}
    for number in range(given.rounds):
        for name in sorted(ways, reverse=bool(number % 2)):
            times[name].append(program(ways[name]))
    for name, rows in times.items():
        for which, values in zip(("first", "second"), zip(*rows, strict=True), strict=True):
            median, low, high = statistics.median(values), min(values), max(values)
            print(f"{name}, {which} engine: {median:.1f} s [{low:.1f}, {high:.1f}]")
    if given.json:
        given.json.write_text(json.dumps(times, indent=1))


if __name__ == "__main__":
    main()
