"""The table of machines, and how they are found."""

from __future__ import annotations

import pytest

from tts.advice.machines import KNOWN, known, sheet_of
from tts.engine.schemes import SCHEMES, lack
from tts.errors import ConfigError


def test_peaks_go_together():
    for machine in KNOWN.values():
        peaks = machine.peaks
        half = peaks.get("bf16", peaks["fp16"])
        assert peaks["fp32"] < half < peaks["int8"], machine.name
        # 8-bit floats came with compute capability 8.9, 4-bit ones with 10.0.
        assert ("fp8" in peaks) == (machine.hardware.cuda_capability >= (8, 9)), machine.name
        assert ("fp4" in peaks) == (machine.hardware.cuda_capability >= (10, 0)), machine.name
        assert ("bf16" in peaks) == machine.hardware.has_bf16, machine.name
        assert machine.overlaps and machine.source


def test_every_machine_has_a_peak_for_all_that_it_runs():
    from tests.advice.llamas import LLAMA, plan

    for machine in KNOWN.values():
        for name, scheme in SCHEMES.items():
            if not lack(scheme, machine.hardware, lambda _: False, methods=frozenset()):
                assert plan(name).speed_known(LLAMA, machine), (machine.name, name)


def test_several_devices_are_one_machine():
    four = known("a100-80g", 4)
    assert four.peaks["bf16"] == 4 * 312e12 and four.bandwidth == 4 * 2039e9
    assert four.memory_gib == 320 and four.ridge("bf16") == KNOWN["A100-80G"].ridge("bf16")


def test_a_slip_is_put_right():
    with pytest.raises(ConfigError) as error:
        known("H100-SMX")
    assert error.value.hint == "Did you mean H100-SXM?"
    with pytest.raises(ConfigError, match="There are: T4, A10"):
        known("abacus")


@pytest.mark.parametrize(
    "said, name",
    [
        ("NVIDIA H100 80GB HBM3, 81559 MiB, 550.54.15", "H100-SXM"),
        ("NVIDIA H100 PCIe, 81559 MiB, 550.54.15", "H100-PCIe"),
        ("NVIDIA H200, 143771 MiB, 570.86.15", "H200-SXM"),
        ("NVIDIA A100-SXM4-80GB, 81920 MiB, 535.1", "A100-80G"),
        ("NVIDIA A100-SXM4-40GB, 40960 MiB, 535.1", "A100-40G"),
        ("NVIDIA L4, 23034 MiB, 550.54", "L4"),
        ("NVIDIA L40S, 46068 MiB, 550.54", "L40S"),
        ("NVIDIA A10, 23028 MiB, 550.54", "A10"),
        ("Tesla T4, 15360 MiB, 550.54", "T4"),
        ("NVIDIA GH200 480GB, 97871 MiB, 550.54", None),
        ("NVIDIA A10G, 23028 MiB, 550.54", None),
    ],
)
def test_a_driver_is_understood(said, name):
    found = sheet_of(said)
    assert (found and found.name) == name
