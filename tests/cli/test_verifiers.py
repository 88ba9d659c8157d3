"""Verifiers with a model of their own in runs, estimates and rescoring: made, started, closed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.engine_fixtures import other_peoples_warnings
from tests.folders import summary
from tests.readers import Reader
from tests.test_cli import environment
from tts.backends.simulated import SimulatedBackend
from tts.cli import main
from tts.errors import EngineStartFailed

SMALL = ("backend=simulated", "task.n_problems=4", "strategy=best_of_n", "strategy.n=2",
         "--config-dir", "mine")  # fmt: skip


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """Outputs go to a folder of their own, with readers to choose from."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine/verifier").mkdir(parents=True)
    for name in ("reader", "other"):
        text = f"# A reader.\n_target_: tests.readers.Reader\nname: {name}\nat_once: 1\n"
        (tmp_path / f"mine/verifier/{name}.yaml").write_text(text)
    Reader.log.clear()


@pytest.fixture
def backends(monkeypatch):
    """Closes of backends go to the log of the readers."""
    real = SimulatedBackend.aclose

    async def aclose(self):
        Reader.log.append(("backend", "close"))
        await real(self)

    monkeypatch.setattr(SimulatedBackend, "aclose", aclose)


def run(*words):
    return main(["run", *SMALL, *words])


def test_arms_and_jobs_share_one_verifier_which_is_closed_in_the_end(backends):
    words = ('+arms.a=["verifier=reader"]', '+arms.b=["verifier=reader","strategy.n=3"]')
    assert run(*words, "-m", "seed=1,2", "hydra.sweep.dir=out") == 0
    assert Reader.log[0] == ("reader", "start")
    assert sorted(Reader.log[1:]) == [("backend", "close"), ("reader", "close")]
    assert all(row["verifier_tokens"] > 0 for row in summary("out"))


def test_a_verifier_of_several_backends_stays_until_its_last_use(backends):
    words = (
        '+arms.a=["verifier=reader","backend.accuracy=0.9"]',
        '+arms.b=["verifier=other","backend.accuracy=0.9"]',
        '+arms.c=["verifier=reader","backend.accuracy=0.2"]',
        '+arms.d=["verifier=likelihood","backend.accuracy=0.3"]',
    )
    assert run(*words, "hydra.run.dir=out") == 0
    log = Reader.log
    assert log[:2] == [("reader", "start"), ("other", "start")]
    assert sorted(log[2:4]) == [("backend", "close"), ("other", "close")]
    assert sorted(log[4:6]) == [("backend", "close"), ("reader", "close")]
    assert log[6:] == [("backend", "close")]


@pytest.mark.parametrize("fault", [EngineStartFailed("No memory."), KeyboardInterrupt()])
def test_a_run_that_fails_closes_what_it_made(backends, monkeypatch, fault):
    async def start(self):
        raise fault

    monkeypatch.setattr(Reader, "start", start)
    closed = []
    monkeypatch.setattr(Reader, "aclose", lambda self: _note(closed))
    assert run("verifier=reader", "hydra.run.dir=out") == (
        130 if isinstance(fault, KeyboardInterrupt) else 1
    )
    assert closed == [True] and Reader.log == [("backend", "close")]


async def _note(closed):
    closed.append(True)


def test_what_the_verifier_is_tells_runs_apart_and_not_how_it_is_asked(capsys):
    once = ("verifier=reader", "hydra.run.dir=out")
    assert run(*once) == 0
    first = json.loads(Path("out/provenance.json").read_text())
    assert first["verifiers"] == [{"verifier": "reader", "weights": "hash of reader"}]
    Path("out/summary.json").unlink()  # as if it had been killed at its end
    assert run(*once, "verifier.at_once=9") == 0
    assert "Going on in out: 4 problems are done." in capsys.readouterr().err
    Path("out/summary.json").unlink()
    assert run(*once, "verifier.name=better") == 0
    assert "An earlier run was in the way and is now in out/earlier/1." in capsys.readouterr().err
    assert run("strategy=self_consistency", "hydra.run.dir=bare") == 0
    assert json.loads(Path("bare/provenance.json").read_text())["verifiers"] == []


def test_an_estimate_counts_it_and_starts_nothing():
    words = ["estimate", *SMALL, "verifier=reader", "--json", "cost.json"]
    assert main(words) == 0
    (arm,) = json.loads(Path("cost.json").read_text())["arms"]
    assert Reader.log == []
    assert arm["expected"]["verifier_calls"] == 8
    assert 0 < arm["expected"]["verifier_tokens"] < arm["upper"]["verifier_tokens"]
    assert main(["estimate", *SMALL, "verifier=likelihood", "--json", "bare.json"]) == 0
    (bare,) = json.loads(Path("bare.json").read_text())["arms"]
    more = arm["expected"]["flops"] - bare["expected"]["flops"]
    assert more == pytest.approx(2.0 * arm["expected"]["verifier_tokens"])


def test_rescoring_starts_it_scores_and_closes_it(capsys):
    assert run("strategy=self_consistency", "hydra.run.dir=out") == 0
    words = ["rescore", "out", "--config-dir", "mine", "verifier=reader", "--json", "out.json"]
    assert main(words) == 0
    assert Reader.log == [("reader", "start"), ("reader", "close")]
    (arm,) = json.loads(Path("out.json").read_text())["arms"].values()
    assert arm["best_of_n"] is not None
    assert "Judging" not in capsys.readouterr().err, "bars are for terminals"


def test_rescoring_closes_it_where_it_fails(monkeypatch, capsys):
    assert run("strategy=self_consistency", "hydra.run.dir=out") == 0

    async def score(self, problem, nodes, ctx):
        raise EngineStartFailed("It is gone.")

    monkeypatch.setattr(Reader, "score", score)
    assert main(["rescore", "out", "--config-dir", "mine", "verifier=reader"]) == 1
    assert Reader.log == [("reader", "start"), ("reader", "close")]
    assert "It is gone." in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_closes_it(number):
    Path("mine/verifier/loud.yaml").write_text("_target_: loud.Loud\n")
    Path("loud.py").write_text(
        "from tests.readers import Reader\n"
        "class Loud(Reader):\n"
        "    async def aclose(self):\n"
        "        open('closed', 'a').write('x')\n"
    )
    words = [*SMALL, "verifier=loud", "task.n_problems=60", "backend.seconds_per_token=0.003",
             "backend.slots=8", "hydra.run.dir=out"]  # fmt: skip
    there = {**environment(), "PYTHONPATH": f"{environment()['PYTHONPATH']}:."}
    running = subprocess.Popen(
        [sys.executable, "-m", "tts.cli", "run", *words], env=there, stdout=-3, stderr=-3
    )
    deadline = time.monotonic() + 200
    lines = Path("out/results.jsonl")
    while not lines.exists() or lines.read_bytes().count(b"\n") < 4:
        assert time.monotonic() < deadline and running.poll() is None
        time.sleep(0.02)
    running.send_signal(number)
    assert running.wait(timeout=200) == 128 + number
    assert Path("closed").read_text() == "x"


@pytest.mark.engine
@pytest.mark.slow
def test_a_bundled_reward_model_judges_on_an_engine_of_its_own():
    with other_peoples_warnings():
        assert run("verifier=prm", "verifier.engine.max_model_len=256", "hydra.run.dir=out") == 0
    (row,) = summary("out")
    assert row["verifier"] == "prm"
    assert row["n_failed"] == 0
    assert row["verifier_calls"] == 8
    about = json.loads(Path("out/provenance.json").read_text())
    assert len(json.dumps(about["verifiers"])) > 64  # the hash of its weights


def test_a_reward_model_on_no_server_is_refused_before_anything(capsys):
    assert run("verifier=prm_server", "verifier.server=http://127.0.0.1:9/v1") == 2
    assert "127.0.0.1:9" in capsys.readouterr().err
