"""Inputs and outputs of batches."""

from __future__ import annotations

import json
from pathlib import Path

from tts.cli import main

SIMULATED = ("backend=simulated", "strategy=greedy")
CLOCKS = ("seconds", "elapsed", "sitting")
CROWD = ("asked", "turn", "present", "coming")  # who else was there when a decision was made


def batch(*words):
    """The exit code of `tts batch in.jsonl out`, with further words."""
    return main(["batch", "in.jsonl", "out", *map(str, words)])


def row(number, **fields):
    """One request."""
    return {"id": f"q{number}", "prompt": f"{number}+{number + 1}=", **fields}


def write(*rows, path="in.jsonl"):
    """Write requests, or lines as they are."""
    texts = (each if isinstance(each, str) else json.dumps(each) for each in rows)
    Path(path).write_bytes("".join(f"{text}\n" for text in texts).encode())


def records(folder="out"):
    """All records in the order of their lines."""
    lines = (Path(folder) / "results.jsonl").read_bytes().split(b"\n")
    assert lines.pop() == b"", "the last line is torn"
    return [json.loads(line) for line in lines[1:]]


def by_id(folder="out"):
    """Records by id; each must be there once."""
    found = records(folder)
    named = {each["id"]: each for each in found}
    assert len(named) == len(found), "a request has two records"
    return named


def timeless(value):
    """Records without what the clock says, and without who else was there."""
    if isinstance(value, list):
        return [timeless(each) for each in value]
    if isinstance(value, dict):
        hidden = (*CLOCKS, *CROWD) if "wants" in value else CLOCKS
        return {name: timeless(each) for name, each in value.items() if name not in hidden}
    return value


def tokens(folder="out"):
    """Completion tokens of all records."""
    return sum(each["usage"]["completion_tokens"] for each in records(folder))
