"""`tts top`: pages of ours and of a real vLLM server, rates by hand, widths, and a quiet end."""

from __future__ import annotations

import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

import tts
from tests.evaluation.test_report import NAMES, outcomes
from tests.servers.fixtures import closed_port
from tts.cli import main
from tts.cli._top_picture import bar, picture, sparkline
from tts.cli._top_reading import Buckets, EngineView, Page, RunView, engines, look, parse
from tts.cli._top_watch import WINDOW, Watch
from tts.engine.notices import leave
from tts.evaluation import Arm
from tts.integrations.prometheus import Prometheus
from tts.solve import Setup
from tts.testing import World

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TTS_CACHE", str(tmp_path / "cache"))


def top(*words):
    return main(["top", "--interval", "0.1", *words])


def view(number="0", state="running", latency=Buckets(), **values):  # noqa: B008
    return EngineView("m", "policy", number, state, values, latency, Buckets())


@pytest.fixture
def served():
    """A page with one arm on it, half done."""
    with Prometheus(port=0) as page:
        arm = Arm("greedy", Setup(tts.Greedy(), World().backend()), NAMES)
        panel = page.panel("outputs/today")
        panel.begin(arm, 10, [])
        for outcome in outcomes(3, n=5):
            panel.keep(outcome)
        yield page


# --- the command --------------------------------------------------------------------------------


def test_what_runs_is_found_and_shown(served, capsys):
    assert top("--once") == 0
    shown = capsys.readouterr().out
    assert served.url in shown and f"process {os.getpid()}" in shown
    assert "5/10" in shown and "60%" in shown and "greedy" in shown
    assert top() == 0  # no terminal: as with --once
    assert "5/10" in capsys.readouterr().out


def test_figures_for_programs(served, capsys):
    assert top("--json", "--url", served.url.removeprefix("http://") + "/metrics") == 0
    (page,) = json.loads(capsys.readouterr().out)["pages"]
    (run,) = page["runs"]
    assert (page["url"], run["arm"], run["values"]["done"]) == (served.url, "greedy", 5)


def test_a_picture_is_written_and_fetches_nothing(served, tmp_path, capsys):
    assert top("--svg", str(tmp_path / "top.svg")) == 0
    drawn = (tmp_path / "top.svg").read_text()
    assert "greedy" in drawn and "5/10" in drawn
    assert "url(" not in drawn.replace("url(#", "")
    assert len(drawn) < 100_000


def test_nothing_runs(capsys):
    leave("engine", 0, {})
    assert top("--once") == 1
    assert "Start it with: tts run metrics=prometheus" in capsys.readouterr().out
    assert top("--json") == 1
    assert json.loads(capsys.readouterr().out) == {"pages": []}


def test_a_page_that_does_not_answer_says_so(capsys, served):
    port = closed_port()
    assert top("--once", "--url", f"http://127.0.0.1:{port}") == 1
    assert f"http://127.0.0.1:{port}  does not answer:" in capsys.readouterr().out
    # One that does is enough.
    assert top("--once", "--url", f"127.0.0.1:{port}", "--url", served.url) == 0
    assert "does not answer" in capsys.readouterr().out


def test_pages_of_something_else(serve):
    server = serve()
    page = look(server.url.removesuffix("/v1"))
    assert page.error.startswith("status 4")
    with pytest.raises(ValueError):
        parse("<html>what?</html>")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--interval", "0"], "--interval is 0; it must be 0.1 to 3600 seconds."),
        (["--url", "ftp://x"], "--url is 'ftp://x'; it must be the address of a page."),
        (["--url", "http://"], "--url is 'http://'; it must be the address of a page."),
        (["--often"], "unrecognized arguments: --often"),
    ],
)
def test_bad_input(words, sentence, capsys):
    assert main(["top", *words]) == 2
    assert sentence in capsys.readouterr().err


def test_ctrl_c_ends_it_and_nothing_else(served):
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "tts.cli", "top", "--interval", "0.2"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80", "TERM": "xterm"},
        stdin=follower, stdout=follower, stderr=follower,
    )  # fmt: skip
    os.close(follower)
    try:
        said = _read_until(leader, b"5/10", 60)
        assert b"\x1b[?1049h" in said  # a screen of its own, as htop's
        process.send_signal(signal.SIGINT)
        said = _read_until(leader, b"\x1b[?1049l", 30)
        assert process.wait(30) == 0
        assert b"Traceback" not in said
    finally:
        process.kill()
        process.wait()
        os.close(leader)


def _read_until(descriptor, wanted, seconds):
    said, deadline = b"", time.monotonic() + seconds
    while wanted not in said and time.monotonic() < deadline:
        if select.select([descriptor], [], [], 0.2)[0]:
            said += os.read(descriptor, 1 << 16)
    assert wanted in said, said[-2000:]
    return said


# --- rates --------------------------------------------------------------------------------------


def test_rates_between_two_looks():
    watch = Watch()
    first = view(prompt_tokens=100, generation_tokens=1000, queries=100, hits=50)
    watch.take([Page("u", at=10.0, engines=(first,))])
    pace = watch.pace("u", first)
    assert (pace.prompt, pace.generation, pace.past, pace.hit_rate) == (None, None, (), 0.5)
    second = view(prompt_tokens=150, generation_tokens=2000, queries=200, hits=60)
    watch.take([Page("u", at=12.0, engines=(second,))])
    pace = watch.pace("u", second)
    assert (pace.prompt, pace.generation, pace.past) == (25.0, 500.0, (500.0,))
    assert pace.hit_rate == pytest.approx(0.1)  # ten of the last hundred
    # Another process has taken the port over.
    third = view(prompt_tokens=1, generation_tokens=2)
    watch.take([Page("u", at=13.0, engines=(third,))])
    assert watch.pace("u", third).generation is None
    watch.take([])
    assert watch.pace("u", third).prompt is None


def test_latencies_of_late_and_else_of_all_time():
    bounds = (1.0, 2.0)
    watch = Watch()
    watch.take([Page("u", at=0.0, engines=(view(latency=Buckets(bounds, (8, 0, 0))),))])
    now = view(latency=Buckets(bounds, (8, 2, 0)))
    watch.take([Page("u", at=1.0, engines=(now,))])
    assert watch.pace("u", now).median == pytest.approx(1.5)
    for second in range(2, int(WINDOW) + 4):
        watch.take([Page("u", at=float(second), engines=(now,))])
    assert watch.pace("u", now).median == pytest.approx(0.625)
    assert watch.pace("u", now).acceptance is None


def test_a_page_that_fails_once_keeps_its_past():
    watch = Watch()
    one, two = view(generation_tokens=0), view(generation_tokens=60)
    watch.take([Page("u", at=0.0, engines=(one,))])
    watch.take([Page("u", at=1.0, error="it was busy")])
    watch.take([Page("u", at=3.0, engines=(two,))])
    assert watch.pace("u", two).generation == 20.0


# --- pages --------------------------------------------------------------------------------------


@pytest.mark.engine
def test_a_real_vllm_server(vllm_server, capsys):
    page = look(vllm_server.url.removesuffix("/v1"))
    assert (page.error, page.what) == ("", "vllm")
    (engine,) = page.engines
    assert (engine.model, engine.role, engine.state) == ("mini-reasoner", "server", "running")
    expected = {"running", "waiting", "cache_usage", "queries", "hits", "prompt_tokens"}
    assert expected | {"generation_tokens", "preemptions"} <= engine.values.keys()
    assert engine.values["running"] == vllm_server.gauge("num_requests_running")
    assert len(engine.latency.counts) == len(engine.latency.bounds) + 1 > 5
    assert top("--once", "--url", vllm_server.url) == 0
    assert "mini-reasoner" in capsys.readouterr().out


def test_a_server_asleep_with_replicas():
    text = """
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 4.0
vllm:spec_decode_num_draft_tokens_total{engine="0",model_name="m"} 10.0
vllm:spec_decode_num_accepted_tokens_total{engine="0",model_name="m"} 4.0
vllm:engine_sleep_state{engine="1",model_name="m",sleep_state="awake"} 0.0
vllm:engine_sleep_state{engine="1",model_name="m",sleep_state="weights_offloaded"} 1.0
vllm:engine_sleep_state{engine="0",model_name="m",sleep_state="awake"} 1.0
vllm:e2e_request_latency_seconds_bucket{engine="0",le="1.0",model_name="m"} 2.0
vllm:e2e_request_latency_seconds_bucket{engine="0",le="+Inf",model_name="m"} 5.0
vllm:e2e_request_latency_seconds_bucket{engine="1",le="1.0",model_name="m"} 7.0
vllm:e2e_request_latency_seconds_bucket{engine="1",le="+Inf",model_name="m"} 7.0
"""
    first, second = engines(parse(text))
    assert [(e.number, e.state, e.get("running")) for e in (first, second)] == [
        ("0", "running", 3.0),
        ("1", "asleep", 4.0),
    ]
    assert first.latency == Buckets((1.0,), (2.0, 3.0))
    assert second.latency == Buckets((1.0,), (7.0, 0.0))
    assert Watch().pace("u", first).acceptance == pytest.approx(0.4)


# --- pictures -----------------------------------------------------------------------------------


def drawn(width, pages):
    watch = Watch()
    watch.take(pages)
    later = [Page(p.url, p.what, p.process, p.at + 1, p.engines, p.runs, p.error) for p in pages]
    watch.take(later)
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(picture(later, watch, console, "12:00:00"))
    return console.file.getvalue()


def full(names=("a", "b")):
    """A page on which everything is large."""
    latency = Buckets((1.0, 200.0), (1, 5000, 0))
    many = [
        EngineView(
            f"/models/very/long/{name}/Qwen2.5-Math-72B-Instruct", role, str(n), "starting",
            {
                "running": 1024, "waiting": 99999, "held": 1, "cache_usage": 1.0, "queries": 1e9,
                "hits": 9.9e8, "prompt_tokens": 1e12, "generation_tokens": 1e12,
                "drafted": 1e9, "accepted": 7e8,
            },
            latency, latency,
        )
        for n, (name, role) in enumerate(zip(names, ("policy", "reward"), strict=True))
    ]  # fmt: skip
    run = RunView(
        "/home/somebody/outputs/search_at_equal_compute/2026-01-02_03-04-05", "self_consistency_64",
        {
            "total": 100_000, "done": 54_321, "failed": 12, "graded": 54_000, "right": 40_000,
            "completion_tokens": 1.2e9, "usd": 123.45, "budget_left": 0.5, "remaining": 123456.0,
        },
    )  # fmt: skip
    return Page("http://127.0.0.1:9400", "tts run " + "word " * 40, 1234, 1.0, tuple(many), (run,))


@pytest.mark.parametrize("width", [80, 100, 110, 200])
def test_no_line_is_too_long_and_every_number_is_whole(width):
    text = drawn(width, [full()])
    assert max(len(line) for line in text.splitlines()) <= width
    for whole in ("1024", "100000", "100%", "99%", "70%", "54,321/100,000", "1,200M", "123.45"):
        assert whole in text, whole
    assert "50%" in text and "34.3 h" in text and "74%" in text


def test_wide_terminals_show_more():
    narrow, wide = drawn(80, [full()]), drawn(160, [full()])
    assert "first" in wide and "first" not in narrow
    assert "2026-01-02_03-04-05: self_consistency_64" in wide


def test_an_error_stands_before_what_may_be_cut():
    text = drawn(80, [Page("http://127.0.0.1:9400", "tts run " + "x" * 90, 7, error="it is busy")])
    assert "does not answer: it is busy" in text


def test_sparklines_and_bars():
    assert sparkline([0, 4, 8], 3) == " ▄█"
    assert sparkline([1, 0, 4, 8], 2) == "▄█"
    assert sparkline([0.0], 5) == " "
    assert sparkline([], 5) == ""
    assert [bar(part, 4).plain for part in (-1, 0.5, 7)] == ["╌╌╌╌", "━━╌╌", "━━━━"]
