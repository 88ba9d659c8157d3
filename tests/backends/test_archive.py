"""The file of the replay cache: kills, several processes, full disks, files of other kinds."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.backends.letters import Cut, ask, decode
from tts.backends._replay.archive import FILE, Archive
from tts.backends._replay.entry import Entry
from tts.backends.replay import ReplayBackend
from tts.errors import ConfigError, ReplayMiss
from tts.types import Segment


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


ENTRIES = st.builds(
    Entry,
    segment=st.builds(
        Segment,
        st.text(),
        st.none() | st.lists(st.integers(0, 1 << 20)).map(tuple),
        st.none() | st.text(max_size=4),
        st.none() | st.lists(st.floats(max_value=0, allow_nan=False)).map(tuple),
        st.none()
        | st.lists(
            st.dictionaries(st.integers(0, 99), st.floats(max_value=0, allow_nan=False))
        ).map(tuple),
    ),
    marks=st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99))).map(tuple),
    finish=st.sampled_from(["stop", "step", "length", "abort"]),
    prompt=st.integers(0, 9999),
    cached=st.integers(0, 9999),
    completion=st.integers(0, 9999),
    detail=st.integers(-1, 20),
)


@given(ENTRIES)
def test_an_entry_survives_being_written_down(entry):
    assert Entry.decoded(entry.encoded()) == entry


def entry(completion: int, finish="length", detail=-1) -> Entry:
    return Entry(Segment("x" * completion), (), finish, 10, 0, completion, detail)


@pytest.mark.parametrize("flushed", [False, True])
@given(
    st.lists(
        st.tuples(st.integers(1, 5), st.sampled_from(["stop", "length"]), st.integers(-1, 2)),
        min_size=1,
    )
)
@settings(max_examples=25, deadline=None)
def test_an_entry_is_replaced_only_by_one_that_says_more(flushed, puts):
    with tempfile.TemporaryDirectory() as folder:
        archive = Archive(folder)
        kept = None
        for put in puts:
            new = entry(*put)
            kept = new if kept is None or new.replaces(kept) else kept
            archive.put(b"k", new)
            if flushed:
                archive.flush()
        assert archive.get(b"k") == kept
        archive.close()
        again = Archive(folder)
        assert again.get(b"k") == kept
        again.close()


@pytest.mark.parametrize("content", [b"no database at all, not in the least" * 50, b"x"])
def test_a_file_that_is_no_database_is_refused(content, tmp_path):
    file = tmp_path / FILE
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"replay\.sqlite (is no|cannot be read)"):
        ReplayBackend(Cut(), tmp_path)
    assert file.read_bytes() == content


def database(file: Path, *commands: str) -> None:
    connection = sqlite3.connect(file)
    for command in commands:
        connection.execute(command)
    connection.commit()
    connection.close()


def test_somebody_elses_database_is_refused(tmp_path):
    file = tmp_path / "other.sqlite"
    database(file, "CREATE TABLE entries (a)")
    with pytest.raises(ConfigError, match="is another program's database"):
        ReplayBackend(Cut(), file)


async def test_a_newer_version_is_refused_by_its_number(folder):
    ReplayBackend(Cut(), folder).archive.close()
    database(folder / FILE, "PRAGMA user_version = 7")
    with pytest.raises(ConfigError, match="is of version 7; this program knows versions up to 1"):
        ReplayBackend(Cut(), folder)


async def test_a_damaged_entry_is_no_answer(folder):
    async with ReplayBackend(Cut(), folder) as backend:
        await decode(backend, ask())
    database(folder / FILE, "UPDATE entries SET value = x'1234'")
    async with ReplayBackend(Cut(), folder) as backend:
        with pytest.raises(ConfigError, match="is damaged"):
            await decode(backend, ask())


def test_a_place_where_nothing_can_be_written_is_refused():
    with pytest.raises(ConfigError, match="cannot be opened"):
        ReplayBackend(Cut(), "/dev/null/cache")


WRITER = """
import asyncio, sys
from tests.backends.letters import Cut, ask, decode
from tts.backends.replay import ReplayBackend

async def main(folder, start, count):
    async with ReplayBackend(Cut(), folder) as backend:
        for seed in range(start, start + count):
            await decode(backend, ask(seed=seed))
            if seed % 10 == 0:
                backend.archive.flush()
                print(seed, flush=True)
    print("done", backend.stats.misses, flush=True)

asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""
ROOT = Path(__file__).parents[2]


def writer(folder, start, count, **how):
    command = [sys.executable, "-c", how.pop("code", WRITER), str(folder), str(start), str(count)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT, **how
    )


async def seeds_kept(folder, seeds) -> list[int]:
    kept = []
    async with ReplayBackend(Cut(), folder, offline=True) as backend:
        for seed in seeds:
            try:
                stream, _ = await decode(backend, ask(seed=seed))
            except ReplayMiss:
                continue
            plain, _ = await decode(Cut(), ask(seed=seed))
            assert stream.trajectory.text == plain.trajectory.text
            kept.append(seed)
    return kept


async def test_a_kill_at_any_moment_leaves_a_good_file(folder):
    rng = random.Random(0)
    for number in range(4):
        start = 1 + 100_000 * number
        process = writer(folder, start, 100_000)
        with process.stdout as lines:
            lines.readline()
            await asyncio.sleep(rng.uniform(0, 0.3))
            process.send_signal(signal.SIGKILL)
            told = [int(line) for line in lines if line.endswith("\n")]
        process.wait()
        last = max(told, default=start)
        kept = await seeds_kept(folder, range(start, last + 1))
        assert len(kept) >= last - start + 1  # all that was flushed
    file = sqlite3.connect(folder / FILE)
    assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    file.close()


async def test_several_processes_write_at_the_same_time(folder):
    starts = (1, 1, 31, 61)
    processes = [writer(folder, start, 60, stderr=subprocess.PIPE) for start in starts]
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert out.splitlines()[-1].startswith("done")
        assert err == ""
    assert await seeds_kept(folder, range(1, 121)) == list(range(1, 121))


FULL = """
import asyncio, logging, resource, sys
from tests.backends.letters import Cut, ask, decode
from tts.backends.replay import ReplayBackend

async def main(folder):
    async with ReplayBackend(Cut(), folder) as backend:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        for seed in range(600):
            stream, _ = await decode(backend, ask(seed=seed))
            assert stream.trajectory.finish == "stop"
            if seed % 20 == 0:
                backend.archive.flush()
    print(backend.stats.misses)

asyncio.run(main(sys.argv[1]))
"""


async def test_a_full_disk_ends_the_recording_and_not_the_run(folder):
    process = writer(folder, 0, 0, code=FULL, stderr=subprocess.PIPE)
    out, err = process.communicate(timeout=120)
    assert out.splitlines() == ["600"]
    assert err.count("cannot be written") == 1 and len(err.splitlines()) == 1
    assert len(await seeds_kept(folder, range(600))) > 20
