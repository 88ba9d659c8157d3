"""What the machine can do: cores, memory, instruction set, CUDA devices.

Detection needs no library: it reads `/proc`, and asks `nvidia-smi` where vLLM's CUDA build is
installed. Only `has_operator` loads vLLM, for the few settings that hang on a compiled kernel.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

GIB = 1 << 30

_FLAGS = {
    "avx2": "avx2",
    "avx512f": "avx512",
    "avx512_vnni": "avx512_vnni",
    "avx_vnni": "avx_vnni",
    "avx512_bf16": "avx512_bf16",
    "avx512_fp16": "avx512_fp16",
    "amx_tile": "amx",
    "amx_bf16": "amx_bf16",
    "amx_fp8": "amx_fp8",
}
_QUERY = ("nvidia-smi", "--query-gpu=memory.total,compute_cap", "--format=csv,noheader,nounits")


@dataclass(frozen=True, slots=True)
class Hardware:
    """A machine, as far as the engine's settings depend on it.

    Attributes:
        cores: Processor cores that this process may use, at least 1.
        memory_gib: Main memory that can be taken now, in GiB.
        isa: Names of instruction sets beyond the baseline: `avx2`, `avx_vnni`, `avx512`,
            `avx512_vnni`, `avx512_bf16`, `avx512_fp16`, `amx`, `amx_bf16`, `amx_fp8`.
        cuda_devices: Number of usable CUDA devices; 0 means that the engine runs on the processor.
        cuda_capability: Compute capability of the first device, such as (9, 0).
        cuda_memory_gib: Memory of the first device, in GiB.
    """

    cores: int
    memory_gib: float
    isa: frozenset[str] = frozenset()
    cuda_devices: int = 0
    cuda_capability: tuple[int, int] = (0, 0)
    cuda_memory_gib: float = 0.0

    @property
    def is_cuda(self) -> bool:
        """Whether the engine will run on a CUDA device."""
        return self.cuda_devices > 0

    @property
    def has_bf16(self) -> bool:
        """Whether bfloat16 arithmetic is done by the hardware rather than emulated."""
        if self.is_cuda:
            return self.cuda_capability >= (8, 0)
        return bool(self.isa & {"avx512_bf16", "amx_bf16"})

    @property
    def adds_int8_exactly(self) -> bool:
        """Whether products of 8-bit integers are summed in 32 bits, and not in pairs in 16.

        A processor without VNNI does the latter, where a pair of large weights under large
        activations is cut off at 32,767; weights of 7 bits cannot get there.
        """
        return self.is_cuda or bool(self.isa & {"avx512_vnni", "avx_vnni", "amx"})

    def __str__(self) -> str:
        if self.is_cuda:
            major, minor = self.cuda_capability
            return (
                f"{self.cuda_devices} CUDA device(s) of capability {major}.{minor},"
                f" {self.cuda_memory_gib:.0f} GiB each"
            )
        sets = ", ".join(sorted(self.isa)) or "no vector extensions that matter here"
        return f"{self.cores} processor cores with {sets}, {self.memory_gib:.1f} GiB free"


def read_isa(cpuinfo: str) -> frozenset[str]:
    """The instruction sets that a `/proc/cpuinfo` lists, under our names."""
    flags: set[str] = set()
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            flags.update(value.split())
            break
    return frozenset(ours for theirs, ours in _FLAGS.items() if theirs in flags)


def read_available_gib(meminfo: str) -> float:
    """`MemAvailable` of a `/proc/meminfo`, in GiB; 0 if it is not listed."""
    for line in meminfo.splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024 / GIB
    return 0.0


def detect() -> Hardware:
    """Look at this machine; takes milliseconds, with a GPU about a second."""
    devices, capability, memory = _cuda()
    return Hardware(
        cores=_cores(),
        memory_gib=_memory_gib(),
        isa=read_isa(_read("/proc/cpuinfo")),
        cuda_devices=devices,
        cuda_capability=capability,
        cuda_memory_gib=memory,
    )


def has_operator(name: str) -> bool:
    """Whether vLLM's compiled operators for this machine include `torch.ops._C.<name>`.

    A build declares operators that it lacks without arguments: those do not count. Imports vLLM,
    which takes seconds: ask only where an answer hangs on it.
    """
    from tts.engine.logs import engine_log

    engine_log().hush()
    import torch
    from vllm.platforms import current_platform

    load = getattr(current_platform, "import_kernels", None)
    if load is not None:
        load()
    found = getattr(torch.ops._C, name, None)
    return found is not None and any(
        getattr(found, each)._schema.arguments for each in found.overloads()
    )


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _cores() -> int:
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota, _, period = _read("/sys/fs/cgroup/cpu.max").strip().partition(" ")
    if quota.isdigit() and period.isdigit():
        return max(1, min(allowed or 1, round(int(quota) / int(period))))
    return allowed or 1


def _memory_gib() -> float:
    """Available memory, or what the control group of a container still allows, if that is less."""
    available = read_available_gib(_read("/proc/meminfo"))
    limit, used = _read("/sys/fs/cgroup/memory.max"), _read("/sys/fs/cgroup/memory.current")
    if limit.strip().isdigit() and used.strip().isdigit():
        return min(available, (int(limit) - int(used)) / GIB)
    return available


def _cuda() -> tuple[int, tuple[int, int], float]:
    """Number of devices, and of the first its capability and memory (GiB).

    vLLM comes as two packages: where the one for processors is installed, GPUs are of no use to it.
    """
    try:
        version("vllm")
        listing = subprocess.run(_QUERY, capture_output=True, text=True, timeout=20, check=True)
    except (PackageNotFoundError, OSError, subprocess.SubprocessError):
        return 0, (0, 0), 0.0
    return read_devices(listing.stdout)


def read_devices(listing: str) -> tuple[int, tuple[int, int], float]:
    """What `nvidia-smi` lists: a line a device, with memory in MiB and compute capability."""
    devices = [line.split(",") for line in listing.splitlines() if line.count(",") == 1]
    if not devices:
        return 0, (0, 0), 0.0
    memory, capability = devices[0]
    major, minor = capability.strip().split(".")
    return len(devices), (int(major), int(minor)), int(memory) / 1024
