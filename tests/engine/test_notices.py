"""Notes between processes, and the memory that engines of other processes have claimed."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts.engine import EngineConfig, Hardware, Shape, neighbours, notices, resolve
from tts.engine.hardware import detect
from tts.engine.neighbours import Claim, check_devices, claim, claims, crowded, release, resident
from tts.engine.notices import folder, leave, notes, take_back
from tts.errors import ConfigError

ROOT = Path(__file__).parents[2]
SMALL = Shape(3, 4, 4, 32, 600_000, 1024, 2_400_000, "float32")
PLAIN = Hardware(2, 16.0, frozenset({"avx2"}))
H100 = Hardware(16, 128.0, cuda_devices=1, cuda_capability=(9, 0), cuda_memory_gib=80.0)

# Another process: it leaves a note, says so, and waits to be killed or let go.
OTHER = """
import sys
from tts.engine.notices import leave
leave("engine", 0, {"model": "theirs", "gib": float(sys.argv[1]), "devices": sys.argv[2:]})
print("left", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TTS_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def other():
    """Starts another process that claims memory."""
    started = []

    def start(gib, *devices):
        process = subprocess.Popen(
            [sys.executable, "-c", OTHER, str(gib), *devices],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout.readline() == "left\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_note_is_there_until_it_is_taken_back():
    assert notes("metrics") == []
    leave("metrics", 1, {"url": "a"})
    leave("metrics", 1, {"url": "b"})
    leave("metrics", 2, {"url": "c"})
    leave("engine", 1, {})
    assert [note.body["url"] for note in notes("metrics")] == ["b", "c"]
    assert {note.process for note in notes("metrics")} == {os.getpid()}
    take_back("metrics", 1)
    take_back("metrics", 1)
    assert [note.body["url"] for note in notes("metrics")] == ["c"]


def test_the_note_of_a_killed_process_is_cleared_away(other):
    process = other(1.0)
    assert [note.process for note in notes("engine")] == [process.pid]
    process.kill()
    process.wait()
    assert notes("engine") == []
    assert list(folder().glob("engine-*")) == []


def test_a_process_id_that_is_used_again_is_another_process(other):
    process = other(1.0)
    (path,) = folder().glob("engine-*")
    path.write_text(json.dumps({**json.loads(path.read_text()), "born": "1"}))
    assert notes("engine") == []
    assert not path.exists()
    assert process.poll() is None


def test_other_machines_clear_their_own_notes(other, monkeypatch):
    other(1.0)
    monkeypatch.setattr(notices, "_place", lambda: "elsewhere-1")
    assert notes("engine") == []
    assert len(list(folder().glob("engine-*"))) == 1


def test_rubbish_among_the_notes_is_left_alone():
    leave("metrics", 1, {"url": "a"})
    for name, text in (("a", "{"), ("b", "[]"), ("c", '{"process": "x"}')):
        (folder() / f"metrics-{name}.json").write_text(text)
    assert len(notes("metrics")) == 1


def test_nothing_fails_where_no_note_can_be_left(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TTS_CACHE", str(tmp_path / "file"))
    leave("metrics", 1, {})
    take_back("metrics", 1)
    assert notes("metrics") == []


# --- memory ------------------------------------------------------------------------------------


def test_a_gpu_that_is_taken_is_refused_with_the_figures(monkeypatch):
    mine = Claim("mine", 1, 40.0, frozenset({"0"}))
    theirs = [Claim("a", 7, 30.0, frozenset({"0"})), Claim("b", 8, 60.0, frozenset({"1"}))]
    check_devices(mine, 80.0, theirs)
    check_devices(Claim("mine", 1, 72.0, frozenset({"0"})), 80.0, ())
    with pytest.raises(ConfigError) as error:
        check_devices(Claim("mine", 1, 72.0, frozenset({"0", "1"})), 80.0, theirs)
    assert error.value.message == (
        "mine wants 72.0 GiB of a GPU of 80 GiB, and engines of other processes have 90.0 GiB of"
        " it: a 30.0 (process 7), b 60.0 (process 8)."
    )
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 1")
    assert neighbours.visible(1) == ["3"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert neighbours.visible(2) == ["0", "1"]


def test_free_memory_that_others_will_take_is_told():
    mine = Claim("mine", 1, 3.0)
    others = [Claim("a", 7, 4.0), Claim("b", 7, 2.0), Claim("c", 8, 1.0), Claim("d", 9, 9.0, {"0"})]
    # Process 7 still lacks 6 - 1.5, process 8 has more than it said; 9 is on a GPU.
    said = crowded(mine, 7.0, others, {7: 1.5, 8: 2.0}.get)
    assert said == (
        "mine needs about 3.0 GiB and 7.0 GiB are free, but engines of other processes may still"
        " take 4.5 GiB of it: a and b 4.5 (process 7). If it ends for lack of memory, lower"
        " kv_cache_gib, or wait."
    )
    assert crowded(mine, 7.5, others, {7: 1.5, 8: 2.0}.get) is None


@given(
    st.lists(st.tuples(st.integers(2, 4), st.floats(0, 50)), max_size=6),
    st.floats(0, 100),
    st.floats(0, 20),
)
def test_more_free_memory_never_makes_it_tighter(given_claims, free, taken):
    others = [Claim("m", process, gib) for process, gib in given_claims]
    mine = Claim("mine", 1, 2.0)
    told = crowded(mine, free, others, lambda _: taken)
    if told is None:
        assert crowded(mine, free + 1, others, lambda _: taken) is None
    else:
        assert crowded(mine, max(0.0, free - 1), others, lambda _: taken) is not None


def test_two_processes_see_each_other(other, caplog, monkeypatch):
    free = detect().memory_gib
    config = resolve(EngineConfig(model="ours"), PLAIN, Path("x"), SMALL)
    process = other(free + 5)
    monkeypatch.setattr(logging.getLogger("tts"), "propagate", True)
    with caplog.at_level(logging.WARNING, "tts.engine"):
        claim(0, config, config.footprint.need)
    try:
        assert "ours needs about 1.9 GiB" in caplog.text
        assert f"(process {process.pid})" in caplog.text
        assert [(each.model, each.process) for each in claims()] == [("theirs", process.pid)]
        assert len(notes("engine")) == 2
    finally:
        release(0)
    assert [note.process for note in notes("engine")] == [process.pid]


def test_two_processes_on_one_gpu(other, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    config = resolve(EngineConfig(model="ours"), H100, Path("x"), SMALL)
    process = other(72.0, "0")
    with pytest.raises(
        ConfigError, match=rf"have 72.0 GiB of it: theirs 72.0 \(process {process.pid}"
    ):
        claim(0, config, 72.0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    claim(0, config, 72.0)
    release(0)


def test_what_a_process_holds_is_counted_with_its_children():
    alone = resident(os.getpid())
    assert 0.02 < alone < 20
    child = subprocess.Popen(
        [sys.executable, "-c", "x = b'1' * (1 << 28); print(1, flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with child:
        child.stdout.readline()
        assert resident(child.pid) > 0.25
        assert resident(os.getpid()) > resident(child.pid)
        child.communicate(b"\n")
    assert resident(child.pid) == 0.0
