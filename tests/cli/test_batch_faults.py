"""Batches that are killed, and whose server, disk or engine fails."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import yaml

from tests.cli.batches import SIMULATED, batch, by_id, records, row, timeless, tokens, write
from tests.engine_fixtures import other_peoples_warnings, spawned
from tests.servers.scripted import Act, ScriptedServer, Traits
from tts.cli import main

ROOT = Path(__file__).parents[2]
PACED = (
    "backend=simulated", "backend.tokens=40", "backend.seconds_per_token=0.0005",
    "backend.slots=8", "concurrency=8", "strategy=self_consistency", "strategy.n=2",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def python(*words):
    done = subprocess.run(
        [sys.executable, *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr[-3000:]
    return done


def killed(times, seed, *words):
    """What came of a batch that was killed so often, and then left alone."""
    done = python("-m", "tests.cli.killing", str(times), str(seed), "in.jsonl", "out", *words)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


# --- kills --------------------------------------------------------------------------------------


def test_fifty_kills_at_random_moments_leave_the_records_of_an_undisturbed_run():
    write(*(row(i, **({"answer": 2 * i + 1} if i % 3 else {})) for i in range(600)))
    budgets = ("budget.completion_tokens=90", "total_budget.completion_tokens=60k")
    found = killed(50, 7, *PACED, *budgets)
    assert (found["kills"], found["code"]) == (50, 0)
    assert found["unborn"], "some kills come before the first record of their sitting"
    disturbed = by_id()
    Path("out").rename("disturbed")
    assert batch(*PACED[:2], *PACED[3:], *budgets) == 0  # at once: no time is simulated
    whole = by_id()
    assert len(whole) == 600
    assert timeless(disturbed) == timeless(whole)
    assert {each["status"] for each in whole.values()} == {"exhausted"}, "each has been cut short"
    assert all(each["usage"]["completion_tokens"] <= 90 for each in whole.values())
    assert tokens() <= 60_000


def test_kills_do_not_stretch_the_budget_of_all():
    write(*map(row, range(300)))
    budget = "total_budget.completion_tokens=6000"
    found = killed(10, 3, *PACED, budget)
    assert (found["kills"], found["code"]) == (10, 0)
    assert len(by_id()) == 300
    assert 5800 < tokens() <= 6000
    assert any(each["limit"] == "total_budget.completion_tokens" for each in records())


# --- servers ------------------------------------------------------------------------------------


def through(server, *words):
    """A batch by a server."""
    given = ("backend=openai", "backend.model=toy", f"backend.base_url={server.url}")
    return batch(*given, "strategy=greedy", "task.max_tokens=40", *words)


class Outage(threading.Thread):
    """Takes a server away once it was asked so often, and puts another in its place."""

    def __init__(self, server, asked, seconds):
        super().__init__()
        self.first, self.second = server, ScriptedServer(server.traits)
        self._asked, self._seconds = asked, seconds

    def run(self):
        while len(self.first.calls) < self._asked:
            time.sleep(0.002)
        self.first.__exit__()
        self.second.port = self.first.port
        time.sleep(self._seconds)
        self.second.__enter__()

    def __enter__(self):
        self.first.__enter__()
        self.start()
        return self.first

    def __exit__(self, *_):
        self.join()
        self.second.__exit__()


@pytest.mark.parametrize("seeded", [True, False])
def test_an_endpoint_that_is_gone_for_a_while_is_waited_for(seeded, capsys):
    write(*map(row, range(60)))
    server = ScriptedServer(Traits(vllm=seeded, pace=0.002, slots=4))
    hot = ("concurrency=8", "backend.limits.in_flight=8")
    outage = Outage(server, 20, seconds=1.5)
    with outage:
        code = through(server, *hot)
        found, err = by_id(), capsys.readouterr().err
        assert len(found) == 60
        assert "down)" in err and server.url in err, "a word on the terminal while it is gone"
        lost = {name for name, each in found.items() if each["status"] == "failed"}
        if seeded:  # what was under way is asked again, as the very same draw
            assert (code, lost) == (0, set())
        else:
            assert len(lost) <= 8 and code == (3 if lost else 0)
            assert through(server, "--retry-failed") == 0
            assert {each["id"] for each in records()[60:]} == lost
    assert len(server.calls) >= 20 and len(outage.second.calls) >= 30


def test_an_endpoint_that_stays_away_ends_the_sitting_and_nothing_is_lost(capsys):
    write(*map(row, range(40)))
    server = ScriptedServer(Traits(vllm=True, pace=0.002, slots=4))
    outage = Outage(server, 15, seconds=5)
    with outage:
        assert through(server, "concurrency=4", "backend.patience_seconds=1") == 1
        err = capsys.readouterr().err
        done = by_id()
        assert "tts: Nothing answered for 1 s" in err
        assert f"{len(done)} of 40 requests are in out; the same command goes on" in err
        outage.join()
        assert through(server) == 0
    assert len(by_id()) == 40
    assert {name: by_id()[name] for name in done} == done


def test_a_batch_is_more_patient_than_a_run(serve):
    write(row(1))
    server = serve()
    for words, seconds in (((), 3600), (("backend.patience_seconds=7",), 7)):
        assert through(server, *words) == 0
        said = yaml.safe_load(Path("out/config.yaml").read_text())
        assert said["backend"]["patience_seconds"] == seconds


def test_requests_that_fail_now_and_then_are_answered_and_charged_once():
    write(*map(row, range(200)))
    rng = random.Random(2)
    faults = [Act(status=429, headers={"retry-after-ms": "20"}), Act(status=500), Act(status=503)]
    with ScriptedServer(Traits(vllm=True)) as server:
        server.acts.extend(rng.choice(faults) if rng.random() < 0.05 else Act() for _ in range(250))
        assert through(server) == 0
        failed = len(server.calls) - 200
        assert failed >= 5 and len(by_id()) == 200
        assert tokens() == server.sent
        prompts = sum(each["usage"]["prompt_tokens"] for each in records())
        assert prompts == sum(call.prompt_tokens for call in server.calls)


# --- disks --------------------------------------------------------------------------------------

SMALL_FILES = """
import resource, signal, sys
from tts.cli import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
sys.exit(main(sys.argv[1:]))
"""


def goes_on_after_a_full_disk(done, folder):
    said = done.stderr.strip().splitlines()
    assert done.returncode == 1, done.stderr
    assert said[-2].startswith("tts: ") and "results.jsonl" in said[-2]
    assert said[-1].startswith("hint: ")
    before = by_id(folder)
    assert 5 < len(before) < 60
    assert any(f"{len(before)} of 60 requests are in" in line for line in said)
    return before


def test_a_file_that_may_not_grow_ends_the_sitting_at_a_whole_line():
    write(*map(row, range(60)))
    done = python("-c", SMALL_FILES, "batch", "in.jsonl", "out", *SIMULATED, "concurrency=4")
    before = goes_on_after_a_full_disk(done, "out")
    assert batch(*SIMULATED) == 0
    assert len(by_id()) == 60
    assert {name: by_id()[name] for name in before} == before


def test_a_full_disk_ends_the_sitting_at_a_whole_line(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=28k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine mounts nothing for us")
    try:
        write(*map(row, range(60)))
        done = python("-m", "tts.cli", "batch", "in.jsonl", "disk", *SIMULATED, "concurrency=4")
        before = goes_on_after_a_full_disk(done, "disk")
        subprocess.run(["mount", "-o", "remount,size=1m", str(disk)], check=True)
        assert main(["batch", "in.jsonl", "disk", *SIMULATED]) == 0
        assert len(by_id("disk")) == 60
        assert {name: by_id("disk")[name] for name in before} == before
    finally:
        subprocess.run(["umount", str(disk)], check=True)


# --- engines ------------------------------------------------------------------------------------


def kill_core(before, path):
    """Once some problems are done, kill the process of the engine: the largest of the new ones."""
    while not path.exists() or path.read_bytes().count(b"\n") < 20:
        time.sleep(0.02)
    new = spawned(before)
    max(new, key=lambda child: child.memory_info().rss).kill()


@pytest.mark.engine
@pytest.mark.slow
def test_an_engine_that_is_killed_starts_again_and_the_batch_goes_on():
    write(*(row(i, prompt=f"{i}+{i + 1}*3-5+40-6=") for i in range(100)))
    engine = ("model.engine.max_model_len=256", "model.engine.kv_cache_gib=0.1")
    words = ("model=mini-reasoner", "strategy=self_consistency", "strategy.n=2", *engine)
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    killer = threading.Thread(target=kill_core, args=(before, Path("out/results.jsonl")))
    killer.daemon = True
    killer.start()
    with other_peoples_warnings():
        assert batch(*words, "concurrency=8", "task.max_tokens=200") == 3
    killer.join()
    first = by_id()
    failed = {name for name, each in first.items() if each["status"] == "failed"}
    assert len(first) == 100 and 1 <= len(failed) <= 8
    assert {first[name]["error"].split(":")[0] for name in failed} == {"EngineDead"}
    # What --retry-failed does with these is shown by the faults of servers above.
