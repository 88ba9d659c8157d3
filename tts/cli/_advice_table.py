"""Advice as a table in the terminal, and as JSON."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tts.advice.advisor import Row
from tts.cli._advice import Found

_WAITS = {"compute": "arithmetic", "bandwidth": "memory", "overhead": "engine"}


def show(found: Found) -> None:
    """Print the table, what is recommended, and what it rests on."""
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    console.print(_table(found))
    for reason in found.advice.reasons:
        console.print(reason, markup=False, soft_wrap=True)
    if found.settings:
        words = " ".join(f"{name}={value}" for name, value in found.settings.items())
        console.print(f"Settings: {words}", markup=False, soft_wrap=True)
    console.print()
    for note in [*found.notes, *_left_out(found)]:
        console.print(note, markup=False, soft_wrap=True)


def _left_out(found: Found) -> Iterator[str]:
    """What is not in the table, and why."""
    unknown = [row.plan.name for row in found.advice.rows if row.kept is None]
    if unknown and not found.all_rows:
        yield (
            f"Not ranked, as nothing is known of their accuracy: {'; '.join(unknown)}. Measure it"
            " with `tts quantize`; --all shows them."
        )
    groups: dict[str, list[str]] = {}
    for name, need in found.choice.refused.items():
        groups.setdefault(need, []).append(name)
    for need, names in groups.items():
        yield f"Not to be had here: {', '.join(names)} (needs {need})."


def document(found: Found) -> dict[str, Any]:
    """The advice, of JSON types; what is infinite is null."""
    case = found.case
    return {
        "title": found.title,
        "workload": asdict(case.workload),
        "machine": {
            "name": case.machine.name,
            "peaks": dict(case.machine.peaks),
            "bandwidth": case.machine.bandwidth,
            "source": case.machine.source,
        },
        "efficiency": asdict(case.efficiency),
        "keep": case.keep,
        "plans": [_values(row) for row in found.advice.rows],
        "recommended": found.settings or None,
        "reasons": list(found.advice.reasons),
        "refused": dict(found.choice.refused),
        "notes": list(found.notes),
    }


def _values(row: Row) -> dict[str, Any]:
    plan, found = row.plan, row.found
    return {
        "scheme": plan.scheme.name,
        "cache": plan.cache.name,
        "in_flight": found.in_flight,
        "largest": found.memory.largest,
        "weights_gib": found.memory.weights,
        "cache_gib": found.memory.cache,
        "activations_gib": found.memory.activations,
        "room_gib": found.memory.room,
        "step_seconds": asdict(found.step),
        "tokens_per_second": found.tokens_per_second,
        "seconds_per_problem": _finite(found.seconds),
        "machine_seconds_per_problem": _finite(found.machine_seconds),
        "usd_per_problem": None if row.usd is None else _finite(row.usd),
        "bound": found.cycle.bound if row.fits else None,
        "accuracy_kept": row.kept and asdict(row.kept),
        "best": row.best,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _table(found: Found) -> Table:
    table = Table(title=found.title, title_style="bold", title_justify="left")
    table.box, table.show_edge, table.pad_edge = SIMPLE_HEAD, False, False
    priced = found.case.usd_per_hour is not None
    table.add_column("scheme")
    heads = ["weights\nGiB", "in all\nGiB", "fit\nat once", "in\nflight", "tokens\na second"]
    heads += ["seconds\na problem", "dollars\na problem" if priced else "machine s\na problem"]
    for head in [*heads, "waits\nfor", "accuracy\nkept"]:
        table.add_column(head, justify="right")
    for row in found.advice.rows:
        if row.kept is None and not found.all_rows:
            continue
        style = "bold" if row is found.advice.chosen else ""
        mark = "* " if row.best else "  "
        table.add_row(mark + row.plan.name, *_cells(row), style=style)
    table.caption = "* nothing else keeps as much accuracy for less"
    table.caption_justify = "left"
    return table


def _cells(row: Row) -> tuple[str, ...]:
    found = row.found
    memory = f"{found.memory.weights:.3g}", f"{found.memory.need:.3g}", f"{found.memory.largest:,}"
    kept = "?" if row.kept is None else f"{row.kept.share:.1%}"
    if not row.fits:
        return (*memory, "0", "", "", "", "", kept)
    cost = found.machine_seconds if row.usd is None else row.usd
    return (
        *memory,
        f"{found.in_flight:,.0f}",
        f"{found.tokens_per_second:,.0f}",
        f"{found.seconds:.3g}",
        f"{cost:.3g}",
        _WAITS[found.cycle.bound],
        kept,
    )
