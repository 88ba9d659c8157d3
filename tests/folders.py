"""What a run has left in its folder."""

from __future__ import annotations

import json
from pathlib import Path

from tts.evaluation.records import Key


def summary(folder):
    """Its rows, as they stand in the file."""
    return json.loads((Path(folder) / "summary.json").read_text())


def lines(folder):
    """Its results, but for the header."""
    text = (Path(folder) / "results.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()[1:]]


def record_key(line):
    """Where the tree of a result is kept."""
    return Key(line["configuration"], line["id"], line["repeat"])
