"""What is left of a search: all trials as JSON, and the winner as a configuration.

The configuration is a file of the group `tuned`, for `--config-dir`. It says nothing where the
defaults are to be kept, so that a command which names it goes on as if it did not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tts.evaluation.store import write_atomically
from tts.tuning.engine.candidates import OURS, VLLM
from tts.tuning.engine.knobs import Knob, settings
from tts.tuning.engine.verdict import Verdict

STUDY, PICTURE = "study.json", "landscape.png"
TUNED = Path("tuned") / "engine.yaml"


def save(
    folder: Path, about: Mapping[str, Any], knobs: Sequence[Knob], found: Verdict, date: str
) -> None:
    """Write `study.json` and `tuned/engine.yaml`.

    Args:
        folder: Of the search.
        about: Model, machine, workload and objective, in words and of JSON types.
        knobs: That were turned.
        found: What came of it.
        date: Today's.
    """
    (folder / TUNED).parent.mkdir(exist_ok=True)
    write_atomically(folder / STUDY, json.dumps(document(about, knobs, found), indent=2) + "\n")
    write_atomically(folder / TUNED, configuration(folder, about, found, date))


def document(about: Mapping[str, Any], knobs: Sequence[Knob], found: Verdict) -> dict[str, Any]:
    """All of a search, of JSON types."""
    return {
        "about": dict(about),
        "knobs": {knob.name: list(knob.values) for knob in knobs},
        "references": [asdict(each) for each in found.references],
        "trials": [asdict(each) for each in found.tried],
        "rounds": found.rounds,
        "standings": [asdict(each) for each in found.standings],
        "defaults_over_vllm": None if found.against is None else asdict(found.against),
        "winner": None if found.winner is None else found.winner.name,
        "settings": {} if found.winner is None else settings({}, found.winner.point),
        "verdict": found.sentences(),
    }


def configuration(folder: Path, about: Mapping[str, Any], found: Verdict, date: str) -> str:
    """The winner as a configuration, with what it rests on."""
    lines = [f"# {name + ':':<11}{_word(value)}" for name, value in about.items()]
    lines += [f"# {'date:':<11}{date}"]
    lines += [f"# {'ratio:':<11}{sentence}" for sentence in found.sentences()[:1]]
    head = [
        "# @package _global_",
        "# Settings of the engine for one workload on one machine, found by `tts tune`.",
        *lines,
        f"# Use them with: tts run --config-dir {folder} +tuned=engine ...",
    ]
    if found.winner is None:
        return "\n".join([*head, "# Nothing was better than the defaults.", ""])
    values = settings({}, found.winner.point)
    body = [f"    {name}: {json.dumps(value)}" for name, value in values.items()]
    return "\n".join([*head, "model:", "  engine:", *body, ""])


def ratios(found: Verdict) -> dict[str, float]:
    """The measured ratio over the defaults of each reference, from the contest where there is one.

    Args:
        found: What came of the search.
    """
    known = {OURS: 1.0}
    for each in found.references:
        if each.name == VLLM and each.ratios:
            known[VLLM] = sum(each.ratios) / len(each.ratios)
    if found.against is not None:
        known[VLLM] = 1 / found.against.mean
    return known


def _word(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
