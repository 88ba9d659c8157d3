"""This machine, measured for real: short runs of two models, kept, and used by a command."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import asdict

import pytest

from tests.advice.llamas import SMALL
from tts.advice import calibration
from tts.advice.calibration import calibrate, machine_of
from tts.advice.machines import KNOWN
from tts.advice.runs import timed
from tts.advice.workload import Workload
from tts.cli import main
from tts.engine import Progress, detect, kernels, read_shape
from tts.engine.kernels import Kernel, Speeds, layers, measure
from tts.engine.models import BUNDLED
from tts.errors import BackendError

MINI = BUNDLED / "mini-reasoner"
TYPES = ("fp32", "bf16", "fp16", "int8")
ROWS = {1, 2, 16, 64}


@pytest.fixture
def few(monkeypatch, tmp_path, vllm_backend):
    """Few and short runs, the first model on the engine that is there; an empty cache."""
    ours = calibration.engine_of

    def engine_of(path, *args):
        return borrowed() if path == MINI else ours(path, *args)

    @asynccontextmanager
    async def borrowed():
        yield vllm_backend.engine

    monkeypatch.setenv("TTS_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name, value in (("BATCHES", (1, 3)), ("LENGTHS", (2, 4)), ("_REPEATS", 1)):
        monkeypatch.setattr(calibration, name, value)
    monkeypatch.setattr(calibration, "engine_of", engine_of)


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.usefixtures("few")
async def test_a_machine_is_measured_once_and_then_advised_on(monkeypatch, capsys, tmp_path):
    shape = read_shape(MINI)
    found = await calibrate(shape, [*TYPES, "fp8"], detect(), Progress(), anew=False)
    machine, own = found.machine, found.efficiency
    assert found.points == 8
    assert set(machine.peaks) == set(machine.feeds) == set(TYPES)  # fp8 cannot be measured
    assert min(machine.peaks.values()) > 1e8 and machine.bandwidth > 1e8 and machine.draw > 0
    assert 0.2 <= own.compute <= 1.25 and 0.2 <= own.bandwidth <= 1.25
    assert min(asdict(own).values()) >= 0
    assert own.overhead(shape, 1) + own.request > 1e-4  # an engine does not come for nothing

    def refuse(*_):
        raise AssertionError("it was measured again")

    for name in ("measure", "engine_of"):
        monkeypatch.setattr(calibration, name, refuse)
    again = await calibrate(shape, TYPES, machine.hardware, Progress(), anew=False)
    assert again == found
    file = tmp_path / "advice.json"
    words = ["advise", "workload.concurrency=8", "workload.prompt_tokens=20", f"--json={file}"]
    assert await asyncio.to_thread(main, words) == 0
    advice = json.loads(await asyncio.to_thread(file.read_text))
    assert advice["machine"] == {
        "name": "this machine",
        "peaks": dict(machine.peaks),
        "bandwidth": machine.bandwidth,
        "source": "measured",
    }
    assert advice["efficiency"] == asdict(own)
    assert {row["scheme"] for row in advice["plans"]} >= {"fp32", "bf16", "fp16"}
    assert all(row["tokens_per_second"] > 0 for row in advice["plans"])
    said = capsys.readouterr().out
    assert "mini-reasoner on this machine: 8 in flight" in said
    assert "Calibrated on 8 runs of the engine" in said


@pytest.mark.engine
async def test_a_timed_run_writes_what_was_asked(vllm_backend):
    before = vllm_backend.stats.generation_tokens
    took = await timed(vllm_backend.engine, read_shape(MINI), Workload(3, 20, 5), seed=7)
    assert took > 0
    assert vllm_backend.stats.generation_tokens - before == 3 * 5


@pytest.mark.slow
def test_products_take_longer_with_more_rows():
    hardware = detect()
    wanted = layers(SMALL, ("fp32",))
    assert wanted.matrices == ((128, 384), (128, 128), (128, 704), (352, 128))
    found = measure([wanted], hardware)
    kernel = found.kernels[0]["fp32"]
    assert set(kernel.seconds) == ROWS
    assert kernel.weights == 3 * (128 * 384 + 128 * 128 + 128 * 704 + 352 * 128)
    assert min(kernel.seconds.values()) > 0


def test_a_measurement_that_fails_says_why(monkeypatch):
    wanted = layers(SMALL, ("fp32",))
    monkeypatch.setattr(kernels, "_CHILD", "tts.engine.nothing")
    with pytest.raises(BackendError, match=r"could not be measured: .*No module named"):
        measure([wanted], detect())
    monkeypatch.undo()
    with pytest.raises(BackendError, match=r"took more than 0 s"):
        measure([wanted], detect(), limit=0.01)


def test_what_cannot_be_measured_is_scaled_from_the_sheet(monkeypatch):
    sheet = KNOWN["H100-SXM"]
    name = "NVIDIA H100 80GB HBM3, 81559 MiB, 550.54.15"
    monkeypatch.setattr(calibration, "this_machine", lambda: {"gpus": [name]})
    # A million weights and 64 rows: 128 million operations at 70% of the peak in 16 bits.
    times = {rows: 1e-6 for rows in (1, 2, 16)} | {64: 128e6 / (0.7 * 989.5e12)}
    found = machine_of(Speeds(3e12, 0.0, ({"bf16": Kernel(10**6, times)},)), sheet.hardware)
    assert found.peaks["bf16"] == pytest.approx(0.7 * 989.5e12)
    assert found.peaks["fp8"] == pytest.approx(0.7 * 1979e12)
    assert found.bandwidth == 3e12 and found.overlaps
