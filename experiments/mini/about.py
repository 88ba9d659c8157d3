"""What a measurement was made with, and how it is written: JSON that says where it is from."""

from __future__ import annotations

import json
import math
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tts.evaluation.provenance import machine, versions
from tts.evaluation.store import write_atomically


def about(weights: str) -> dict[str, Any]:
    """Command, weights, versions and machine of this measurement, of JSON types.

    Args:
        weights: Hash of the weights that are measured.
    """
    name = getattr(sys.modules["__main__"].__spec__, "name", None)
    command = ["python", "-m", name, *sys.argv[1:]] if name else ["python", *sys.argv]
    return {
        "command": shlex.join(command),
        "weights": weights,
        "versions": versions(),
        "machine": machine(),
    }


def write(path: Path, found: Mapping[str, Any]) -> None:
    """Write figures as JSON, all or nothing; what is no number becomes null."""
    write_atomically(path, json.dumps(_plain(found), indent=1, allow_nan=False) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and math.isnan(value) else value
