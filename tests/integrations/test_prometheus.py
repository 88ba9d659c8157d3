"""The page of metrics: its names, its figures, and that it costs nothing until somebody looks."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

import tts
from tests.evaluation.test_report import NAMES, outcomes, row
from tests.folders import summary
from tts.backends.simulated import SimulatedBackend
from tts.cli import main
from tts.engine import EngineConfig, Hardware, Shape, resolve
from tts.engine.census import engines, made_as
from tts.engine.engine import Engine
from tts.engine.notices import notes
from tts.errors import ConfigError
from tts.evaluation import Arm
from tts.integrations._figures import ENGINE, RUN, table
from tts.integrations.prometheus import Prometheus
from tts.solve import Setup
from tts.testing import World
from tts.types import Problem, Request, Spent, Trajectory, Usage

ROOT = Path(__file__).parents[2]
PLAIN = Hardware(2, 64.0, frozenset({"avx2"}))
SMALL = Shape(3, 4, 4, 32, 600_000, 1024, 2_400_000, "float32")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TTS_CACHE", str(tmp_path / "cache"))


def read(page):
    """All samples of a page: (name, labels) -> value."""
    text = httpx.get(f"{page.url}/metrics", timeout=30).text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(samples, name, **labels):
    """The value of one sample whose labels include some; None if there is none."""
    found = [v for (n, have), v in samples.items() if n == name and labels.items() <= set(have)]
    assert len(found) <= 1
    return found[0] if found else None


# --- names --------------------------------------------------------------------------------------


def test_names_follow_the_rules():
    names = [name for name, *_ in table()]
    assert len(set(names)) == len(names) == len(ENGINE) + len(RUN)
    for name, kind, _, text in table():
        assert re.fullmatch(r"tts_(engine|run)(_[a-z]+)+", name)
        assert name.endswith("_total") == (kind == "counter"), name
        assert kind != "histogram" or name.endswith("_seconds")
        assert text.endswith(".")
        assert not re.search(r"_(ms|kb|gib|percent|perc)\b", name)


def test_the_page_of_the_manual_lists_them_all():
    rows = [f"| `{name}` | {kind} | {labels} | {text} |" for name, kind, labels, text in table()]
    manual = (ROOT / "docs" / "running.md").read_text()
    listed = manual.partition("<!-- metrics -->")[2].partition("<!-- /metrics -->")[0]
    assert [line for line in listed.splitlines() if line.startswith("| `")] == rows


# --- figures ------------------------------------------------------------------------------------


def test_an_engine_that_is_not_started_has_a_state_and_a_plan():
    config = resolve(EngineConfig(model="m", kv_cache_gib=0.5), PLAIN, Path("x"), SMALL)
    with Prometheus(port=0) as page:
        with made_as("draft"):
            engine = Engine(config)
        number = str(engine.number)
        samples = read(page)
        assert of(samples, "tts_engine_up", engine=number, model="m", role="draft") == 0
        assert of(samples, "tts_engine_state", engine=number, state="stopped") == 1
        assert of(samples, "tts_engine_state", engine=number, state="running") == 0
        planned = "tts_engine_planned_memory_bytes"
        assert of(samples, planned, engine=number, part="kv_cache") == 1 << 29
        assert of(samples, planned, engine=number, part="weights") == 2_400_000
        # Nothing is drafted, so nothing is said of drafts.
        assert of(samples, "tts_engine_draft_tokens_total", engine=number) is None
        engine.stats.drafts, engine.stats.draft_tokens, engine.stats.accepted_tokens = 1, 4, 3
        engine.stats.finished = Counter(stop=2, abort=1)
        for seconds in (0.02, 0.3, 5000.0):
            engine.stats.latency.observe(seconds)
        samples = read(page)
        assert of(samples, "tts_engine_draft_tokens_accepted_total", engine=number) == 3
        ended = "tts_engine_requests_finished_total"
        assert of(samples, ended, engine=number, reason="abort") == 1
        bucket = "tts_engine_request_seconds_bucket"
        upto = {le: of(samples, bucket, engine=number, le=le) for le in ("0.01", "0.5", "+Inf")}
        assert upto == {"0.01": 0, "0.5": 2, "+Inf": 3}
        assert of(samples, "tts_engine_request_seconds_count", engine=number) == 3
        assert of(samples, "tts_engine_request_seconds_sum", engine=number) == 5000.32
        del engine
        assert of(read(page), "tts_engine_up", engine=number) is None


def test_the_progress_of_an_arm():
    budget = tts.Budget(completion_tokens=120)
    arm = Arm("greedy", Setup(tts.Greedy(), World().backend(), budget=budget), NAMES)
    with Prometheus(port=0) as page:
        panel = page.panel("outputs/today")
        panel.begin(arm, 10, outcomes(2, n=4))
        for outcome in outcomes(3, n=8, failed=1)[4:]:
            panel.on_event(Spent(outcome.problem_id, Usage(completion_tokens=90, usd=0.5)))
            panel.keep(outcome)
        samples = read(page)

        def value(name):
            return of(samples, name, run="outputs/today", arm="greedy")

        assert value("tts_run_problems") == 10
        assert value("tts_run_problems_done_total") == 8
        assert value("tts_run_problems_right_total") == 2
        assert value("tts_run_completion_tokens_total") == 4 * 90
        assert value("tts_run_usd_total") == 2.0
        # 400 tokens earlier and 360 now, of ten times 120.
        assert value("tts_run_budget_left_ratio") == pytest.approx(1 - 760 / 1200)
        assert value("tts_run_remaining_seconds") == pytest.approx(
            value("tts_run_elapsed_seconds") * 2 / 4, rel=0.5
        )
        assert value("tts_run_ended") == 0
        panel.end(row(5))
        samples = read(page)
        assert (value("tts_run_ended"), value("tts_run_remaining_seconds")) == (1, 0)


@pytest.mark.engine
async def test_the_figures_of_a_real_engine(vllm_backend):
    number = str(vllm_backend.engine.number)
    with Prometheus(port=0) as page:
        before = read(page)
        for seed in (1, 2):
            asked = Request(
                Problem.chat("p", "12+7*3-5+40-6+10+11+12+13+14+15+16+17+18+19="),
                Trajectory.root(), max_tokens=50, seed=seed,
            )  # fmt: skip
            async with vllm_backend.open(asked) as stream:
                async for _ in stream:
                    pass
        after = read(page)

    def more(name, **labels):
        labels |= {"engine": number, "model": "mini-reasoner", "role": "policy"}
        return of(after, name, **labels) - (of(before, name, **labels) or 0)

    prompt = stream.usage.prompt_tokens
    assert more("tts_engine_prompt_tokens_total") == 2 * prompt
    assert more("tts_engine_prefix_cache_queries_total") == 2 * prompt
    assert more("tts_engine_prefix_cache_hits_total") >= stream.usage.cached_tokens >= 32
    assert 50 < more("tts_engine_generation_tokens_total") <= 100
    assert more("tts_engine_request_seconds_count") == 2
    assert more("tts_engine_time_to_first_token_seconds_count") == 2
    assert more("tts_engine_time_per_output_token_seconds_count") == 2
    assert more("tts_engine_request_seconds_sum") > more("tts_engine_queue_seconds_sum") >= 0
    assert of(after, "tts_engine_up", engine=number) == 1
    assert of(after, "tts_engine_state", engine=number, state="running") == 1
    assert number in {str(entry.number) for entry in engines()}


# --- where it is served -------------------------------------------------------------------------


def test_a_note_says_where_it_is():
    with Prometheus(port=0) as page:
        (note,) = notes("metrics")
        assert note.body["url"] == page.url
        assert httpx.get(f"{page.url}/metrics").status_code == 200
    assert notes("metrics") == []
    page.close()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{page.url}/metrics")


def test_a_port_that_is_taken_is_refused_before_anything_starts(monkeypatch, capsys):
    async def start(self):
        raise AssertionError("a backend was started")

    monkeypatch.setattr(SimulatedBackend, "start", start)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        words = ("backend=simulated", "metrics=prometheus", f"metrics.port={port}")
        assert main(["run", *words]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said == [
        f"tts: Metrics cannot be served on 127.0.0.1:{port}: Address already in use.",
        "hint: Set metrics.port to another one, or to 0 for any that is free.",
    ]
    assert notes("metrics") == []


def test_bad_addresses():
    with pytest.raises(ConfigError, match=r"metrics\.port is 70000; it must be 0 to 65535"):
        Prometheus(port=70000)
    with pytest.raises(ConfigError, match=r"Metrics cannot be served on 192\.0\.2\.1:0"):
        Prometheus(port=0, host="192.0.2.1")


def test_metrics_make_no_other_run(capsys):
    words = ("backend=simulated", "task.n_problems=6", "strategy=greedy", "hydra.run.dir=out")
    assert main(["run", *words, "metrics=prometheus", "metrics.port=0"]) == 0
    assert "Metrics: http://127.0.0.1:" in capsys.readouterr().err
    first = summary("out")
    assert main(["run", *words]) == 0
    assert not Path("out/earlier/earlier").exists()
    assert [r["configuration"] for r in summary("out")] == [r["configuration"] for r in first]
    assert notes("metrics") == []


def test_a_run_is_seen_while_it_goes_and_gone_when_it_is_killed(tmp_path):
    words = (
        "backend=simulated", "backend.seconds_per_token=0.01", "concurrency=4", "strategy=greedy",
        "task.n_problems=2000", "metrics=prometheus", "metrics.port=0", "hydra.run.dir=out",
    )  # fmt: skip
    run = subprocess.Popen(
        [sys.executable, "-m", "tts.cli", "run", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        shown = {}
        while not shown.get("done") and time.monotonic() < deadline:
            time.sleep(0.5)
            shown = _seen()
        assert shown["total"] == 2000
        assert 0 < shown["done"] < 2000
        assert shown["graded"] == shown["done"]
        assert shown["remaining"] > 0
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait()
    assert notes("metrics") == []


def _seen():
    """The figures of the only run that is found without an address."""
    out = subprocess.run(
        [sys.executable, "-m", "tts.cli", "top", "--json", "--interval", "0.1"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        check=False,
    )
    pages = json.loads(out.stdout)["pages"]
    arms = [arm for page in pages for arm in page["runs"]]
    return arms[0]["values"] if arms else {}
