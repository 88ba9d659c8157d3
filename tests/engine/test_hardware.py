"""Reading what a machine says of itself."""

from __future__ import annotations

import pytest

from tts.engine.hardware import Hardware, detect, read_available_gib, read_devices, read_isa


def test_instruction_sets_are_read_from_the_flags_of_the_first_core():
    text = "processor : 0\nflags\t\t: fpu avx avx2 avx512f avx512_vnni amx_tile\n\nflags : fpu\n"
    assert read_isa(text) == {"avx2", "avx512", "avx512_vnni", "amx"}
    assert read_isa("") == frozenset()


def test_available_memory_is_read_in_gib():
    text = "MemTotal:  33554432 kB\nMemAvailable:   16777216 kB\n"
    assert read_available_gib(text) == 16.0
    assert read_available_gib("") == 0.0


def test_devices_are_read_from_the_drivers_listing():
    assert read_devices("81559, 9.0\n81559, 9.0\n") == (2, (9, 0), pytest.approx(79.6, abs=0.1))
    assert read_devices("No devices were found\n") == (0, (0, 0), 0.0)


@pytest.mark.parametrize(
    ("hardware", "has"),
    [
        (Hardware(2, 8, frozenset({"avx2"})), False),
        (Hardware(2, 8, frozenset({"avx2", "avx512"})), False),
        (Hardware(2, 8, frozenset({"avx512", "avx512_bf16"})), True),
        (Hardware(2, 8, frozenset({"amx", "amx_bf16"})), True),
        (Hardware(2, 8, cuda_devices=1, cuda_capability=(7, 5)), False),
        (Hardware(2, 8, cuda_devices=1, cuda_capability=(9, 0)), True),
    ],
)
def test_bfloat16_is_a_matter_of_the_hardware(hardware, has):
    assert hardware.has_bf16 is has


def test_this_machine_has_a_core_and_memory():
    here = detect()
    assert here.cores >= 1
    assert here.memory_gib > 0.1
    assert str(here)
