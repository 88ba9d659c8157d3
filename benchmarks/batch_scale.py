"""Speed, memory and resumption of `tts batch` on many requests, through a simulated model.

Run: `python -m benchmarks.batch_scale [--requests 100000] [--json FILE]`. The targets: at least
2,000 requests a second on two cores, under 500 MB, memory that hardly grows from a tenth of the
requests to all of them, and a store with all of them resumed within 5 s. Each figure is that of a
whole command in a process of its own, imports and reports included, by the clock and by the
kernel's account of its largest memory; the rate is taken of the sitting alone as well.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TARGETS = {"requests_per_second": 2000.0, "peak_mb": 500.0, "resume_seconds": 5.0}

_WORDS = ("backend=simulated", "strategy=greedy", "concurrency=256")


def write(path: Path, requests: int) -> None:
    """Write a file of sums, every other one with its answer."""
    with path.open("w") as file:
        for i in range(requests):
            known = {"answer": str(2 * i + 1)} if i % 2 else {}
            file.write(json.dumps({"id": f"r{i}", "prompt": f"{i}+{i + 1}=", **known}) + "\n")


def command(folder: Path) -> dict[str, float]:
    """Run the command; what it took: seconds by the clock and of processors, and megabytes."""
    words = ("batch", str(folder / "in.jsonl"), str(folder / "out"), *_WORDS)
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "tts.cli", *words], stdout=-3, stderr=-3)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"the command ended with {process.returncode}")
    return {
        "seconds": time.perf_counter() - started,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "peak_mb": used.ru_maxrss / 1024,
    }


def measure(requests: int) -> dict[str, float]:
    """A batch from its beginning to its end, and once more when nothing is left."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "in.jsonl", requests)
        whole = command(folder)
        (row,) = json.loads((folder / "out" / "summary.json").read_text())
        if row["n_solved"] != requests:
            raise SystemExit(f"{row['n_solved']} of {requests} requests were answered")
        again = command(folder)
        return {
            "requests": requests,
            **whole,
            "sitting_seconds": row["seconds"],
            "again_seconds": again["seconds"],
            "again_cpu_seconds": again["cpu_seconds"],
            "again_peak_mb": again["peak_mb"],
        }


def judged(few: dict[str, float], many: dict[str, float], empty: dict[str, float]) -> Any:
    """The figures that have a target, what they are, and whether they meet it.

    Args:
        few: The measurement of a tenth.
        many: That of all.
        empty: That of one request: what a command takes anyhow.
    """
    found = {
        "requests_per_second": many["requests"] / (many["seconds"] - empty["seconds"]),
        "peak_mb": many["peak_mb"],
        "resume_seconds": many["again_seconds"] - empty["again_seconds"],
    }
    met = {
        name: found[name] >= target if name == "requests_per_second" else found[name] <= target
        for name, target in TARGETS.items()
    }
    grown = 1000 * (many["peak_mb"] - few["peak_mb"]) / (many["requests"] - few["requests"])
    return {"figures": found, "targets": TARGETS, "met": met, "kb_per_request": grown}


def main() -> None:
    """Measure and print; with `--json`, write as well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = [measure(number) for number in (1, given.requests // 10, given.requests)]
    for row in rows:
        print(", ".join(f"{name} {value:,.1f}" for name, value in row.items()))
    verdict = judged(rows[1], rows[2], rows[0])
    for name, value in verdict["figures"].items():
        met = "met" if verdict["met"][name] else "not met"
        print(f"{name}: {value:,.1f}; target {TARGETS[name]:,.0f}: {met}")
    print(f"growth: {verdict['kb_per_request']:.2f} kB a request")
    if given.json:
        given.json.write_text(json.dumps({"rows": rows, **verdict}, indent=1))


if __name__ == "__main__":
    main()
