"""Machines by name, for advice about one that is not here: dense peaks from NVIDIA's data sheets.

Where a sheet gives figures "with sparsity", half of them are taken. Products in fp32 run on the
ordinary cores, since the engine does not round them to TF32. Bandwidth is in bytes a second, memory
in GiB as the driver reports it. Prices are not here: they change, and the user knows his own.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from tts.engine.hardware import Hardware
from tts.engine.machine import Efficiency, Machine
from tts.errors import ConfigError

TYPICAL = Efficiency(compute=0.65, bandwidth=0.65)
"""The middle of the 50 to 80% that real kernels reach, where nothing was measured; the engine's own
time beside them is not known then, and left out."""

_SHEET = "NVIDIA data sheet"


def _gpu(
    name: str,
    capability: tuple[int, int],
    memory: float,
    bandwidth: float,
    peaks: Mapping[str, float],
    note: str = "",
) -> Machine:
    """A machine; GB/s and peaks of 10^12 operations a second."""
    return Machine(
        name,
        Hardware(1, 64.0, frozenset(), 1, capability, memory),
        MappingProxyType({kind: 1e12 * peak for kind, peak in peaks.items()}),
        1e9 * bandwidth,
        source=f"{_SHEET}{note}",
    )


def _peaks(
    fp32: float, half: float, int8: float, fp8: float = 0.0, fp4: float = 0.0, bf16: bool = True
) -> dict[str, float]:
    found = {"fp32": fp32, "fp16": half, "bf16": half * bf16, "int8": int8, "fp8": fp8, "fp4": fp4}
    return {kind: peak for kind, peak in found.items() if peak}


_ROWS = (
    _gpu("T4", (7, 5), 15, 320, _peaks(8.1, 65, 130, bf16=False)),
    _gpu("A10", (8, 6), 22.5, 600, _peaks(31.2, 125, 250)),
    _gpu("RTX-3090", (8, 6), 24, 936, _peaks(35.6, 71, 284), ", GA102 white paper"),
    _gpu("A6000", (8, 6), 48, 768, _peaks(38.7, 154.8, 309.7)),
    _gpu("A100-40G", (8, 0), 40, 1555, _peaks(19.5, 312, 624)),
    _gpu("A100-80G", (8, 0), 80, 2039, _peaks(19.5, 312, 624)),
    _gpu("L4", (8, 9), 22.5, 300, _peaks(30.3, 121, 242, 242)),
    _gpu("L40S", (8, 9), 45, 864, _peaks(91.6, 362, 733, 733)),
    _gpu("RTX-4090", (8, 9), 24, 1008, _peaks(82.6, 165.2, 660.6, 330.3), ", AD102 white paper"),
    _gpu("H100-PCIe", (9, 0), 80, 2000, _peaks(51, 756, 1513, 1513)),
    _gpu("H100-SXM", (9, 0), 80, 3350, _peaks(67, 989.5, 1979, 1979)),
    _gpu("H200-SXM", (9, 0), 141, 4800, _peaks(67, 989.5, 1979, 1979)),
    _gpu("B200", (10, 0), 180, 8000, _peaks(75, 2250, 4500, 4500, 9000)),
)
KNOWN: Mapping[str, Machine] = MappingProxyType({row.name: row for row in _ROWS})
"""By name."""


def known(name: str, devices: int = 1) -> Machine:
    """A machine of the table.

    Args:
        name: In any case of letters.
        devices: That share the model; what they exchange is not counted.

    Raises:
        ConfigError: There is no such machine.
    """
    found = {each.lower(): machine for each, machine in KNOWN.items()}.get(name.lower())
    if found is not None:
        return times(found, devices)
    lowered = {each.lower(): each for each in KNOWN}
    close = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.5)
    raise ConfigError(
        f"--machine: there is no machine {name!r} in the table.",
        hint=f"Did you mean {lowered[close[0]]}?" if close else f"There are: {', '.join(KNOWN)}.",
    )


# What a driver calls them, in the order in which they are told apart.
_DRIVER_NAMES = (
    ("H100 PCIe", "H100-PCIe"),
    ("H100 80GB", "H100-SXM"),
    ("NVIDIA H200", "H200-SXM"),
    ("NVIDIA B200", "B200"),
    ("A100-SXM4-40GB", "A100-40G"),
    ("A100-PCIE-40GB", "A100-40G"),
    ("A100", "A100-80G"),
    ("L40S", "L40S"),
    ("RTX A6000", "A6000"),
    ("RTX 4090", "RTX-4090"),
    ("RTX 3090", "RTX-3090"),
    ("NVIDIA A10,", "A10"),
    ("NVIDIA L4,", "L4"),
    ("Tesla T4", "T4"),
)


def sheet_of(driver_name: str) -> Machine | None:
    """The machine that a line of `nvidia-smi` names; None if it is not in the table.

    Args:
        driver_name: Such as "NVIDIA L4, 23034 MiB, 550.54".
    """
    names = (ours for theirs, ours in _DRIVER_NAMES if theirs in driver_name)
    name = next(names, None)
    return None if name is None else KNOWN[name]


def times(machine: Machine, devices: int) -> Machine:
    """Several devices as one machine."""
    return replace(
        machine,
        hardware=replace(machine.hardware, cuda_devices=devices),
        peaks={kind: peak * devices for kind, peak in machine.peaks.items()},
        bandwidth=machine.bandwidth * devices,
    )
