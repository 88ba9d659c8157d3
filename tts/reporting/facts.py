"""What ran, in words: the provenance of a run, as a reader of a paper asks for it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tts.evaluation.claims import Claim
from tts.reporting.reading import Run

_HASH = 12  # digits of a hash that are shown


def status(run: Run) -> str:
    """How far it is."""
    ended = sum(len(arm.outcomes) for arm in run.arms)
    counts = ((ended, "attempt"), (len(run.golds), "problem"), (len(run.arms), "arm"))
    attempts, problems, arms = (f"{n:,} {what}{'s' * (n != 1)}" for n, what in counts)
    said = f"{attempts} at {problems}, {arms}"
    if run.finished:
        return said
    waiting = f"; not begun: {', '.join(run.waiting)}" if run.waiting else ""
    return f"{said} so far{waiting}"


def facts(run: Run) -> Iterator[tuple[str, str]]:
    """Names and values; what the run does not tell is left out."""
    origin = run.provenance
    yield "folder", str(run.source.folder)
    if command := origin.get("command"):
        yield "command", shlex.join(map(str, command))
    yield "seed", ", ".join(str(s) for s in sorted({arm.names.seed for arm in run.arms}))
    for backend in _objects(origin.get("backends")):
        yield "model", _told(backend, ("model", "weights", "revision"))
        if engine := backend.get("engine"):
            yield "engine", _settings(engine)
    for verifier in _objects(origin.get("verifiers")):
        yield "verifier", _settings(verifier)
    code = origin.get("code")
    if isinstance(code, dict) and code.get("commit"):
        changed = ", with changes that are not committed" if code.get("dirty") else ""
        yield "code", f"commit {code['commit']}{changed}"
    if isinstance(versions := origin.get("versions"), dict):
        yield "versions", ", ".join(f"{name} {version}" for name, version in versions.items())
    if isinstance(machine := origin.get("machine"), dict):
        yield "machine", _machine(machine)


def claim_cells(claim: Claim) -> tuple[str, str, str]:
    """Kind with its margin, and the interval, in words; the third is the unit."""
    spread = claim.interval
    if claim.cost:
        ends = f"[{spread.low:.2f}, {spread.high:.2f}]"
        kind = f"{claim.cost.replace('_', ' ')} at most {claim.margin:g} times"
        return kind, f"{spread.mean:.2f} {ends}", "times"
    ends = f"[{100 * spread.low:+.1f}, {100 * spread.high:+.1f}]"
    margin = f", margin {100 * claim.margin:g}" if claim.margin else ""
    return claim.kind + margin, f"{100 * spread.mean:+.1f} {ends}", "points"


def _machine(machine: Mapping[str, Any]) -> str:
    gpus = machine.get("gpus") or []
    parts = [
        f"{machine.get('cores', '?')} cores of {machine.get('cpu', 'an unknown processor')}",
        f"{machine.get('memory_gib', '?')} GiB",
        ", ".join(map(str, gpus)) if isinstance(gpus, list) and gpus else "no GPU",
        str(machine.get("system", "")),
    ]
    return ", ".join(part for part in parts if part)


def _told(node: Mapping[str, Any], names: Sequence[str]) -> str:
    found = [(name, node[name]) for name in names if node.get(name)]
    return ", ".join(
        str(value) if name == names[0] else f"{name} {str(value)[:_HASH]}" for name, value in found
    )


def _settings(node: Any) -> str:
    """A tree of settings in one line; nothing of it is left out but what is unset."""
    if isinstance(node, dict):
        return ", ".join(
            f"{name} {{{_settings(value)}}}" if isinstance(value, dict) else
            f"{name} {_settings(value)}"
            for name, value in node.items()
            if value not in (None, {}, [])
        )  # fmt: skip
    return str(node)


def _objects(found: Any) -> list[Mapping[str, Any]]:
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
