"""Arms and sweeps: several configurations in one command, on one engine, as curves or points."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.demo import ARMS, SEARCHES, SIMULATED, likely
from tests.folders import lines, record_key, summary
from tts.backends.simulated import SimulatedBackend
from tts.cli import main
from tts.evaluation.store import Trees

SMALL = ("backend=simulated", "task.n_problems=6")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """Outputs go to a folder of their own."""
    monkeypatch.chdir(tmp_path)


def tts(*words):
    return main(["run", *words])


@pytest.fixture
def made(monkeypatch):
    """The simulated backends that are made, and how often each is started and closed."""
    found = []
    real = SimulatedBackend.aclose

    async def aclose(self):
        found.append(self)
        await real(self)

    monkeypatch.setattr(SimulatedBackend, "aclose", aclose)
    return found


def test_arms_share_one_backend_and_the_same_draws(made):
    words = (*SIMULATED, "task.n_problems=12", "hydra.run.dir=out")
    assert tts(*words) == 0
    assert len(made) == 1
    rows = summary("out")
    assert [row["strategy"] for row in rows] == list(ARMS)
    assert len({row["completion_tokens"] for row in rows[1:4]}) == 1
    assert rows[4]["completion_tokens"] <= rows[1]["completion_tokens"]
    assert rows[0]["difference"] is None
    assert all(row["difference"] is not None for row in rows[1:])
    trees = Trees(Path("out"))
    texts = {
        (line["arm"], line["id"]): [t.text for t in trees[record_key(line)].trajectories()]
        for line in lines("out")
    }
    assert texts["self_consistency", "mini-test-1-0"] == texts["best_of_n", "mini-test-1-0"]


def test_the_command_line_reaches_the_arms_that_it_fits():
    words = (*SMALL, "experiment=demo", likely("weighted_best_of_n"), "~arms.best_of_n")
    words += tuple(f"~arms.{arm}" for arm in SEARCHES)
    assert tts(*words, "strategy.n=3", "hydra.run.dir=out") == 0
    assert [(row["strategy"], row["n"]) for row in summary("out")] == [
        ("greedy", None),
        ("self_consistency", 3),
        ("weighted_best_of_n", 3),
        ("adaptive_consistency", 3),
    ]
    assert tts("experiment=demo", *SMALL, "hydra.run.dir=one", "arms=null", "strategy=greedy") == 0
    assert [row["strategy"] for row in summary("one")] == ["greedy"]


def test_an_arm_that_sweeps_is_a_curve(made, capsys):
    votes = "+arms.votes=['strategy=self_consistency', 'strategy.n=2,4']"
    words = (*SMALL, votes, "+arms.greedy=['strategy=greedy']")
    assert tts(*words, "hydra.run.dir=out") == 0
    assert len(made) == 1
    assert [(row["strategy"], row["series"], row["n"]) for row in summary("out")] == [
        ("votes n=2", "votes", 2),
        ("votes n=4", "votes", 4),
        ("greedy", "greedy", None),
    ]
    assert tts(*words, "strategy.n=3", "hydra.run.dir=other") == 2
    assert "sweeps its strategy.n itself" in capsys.readouterr().err
    twice = votes.replace("2,4", "2,2")
    assert tts(*SMALL, twice, "hydra.run.dir=other") == 2
    assert "Two arms of this experiment are called 'votes n=2'" in capsys.readouterr().err
    assert not Path("other").exists()


def test_a_sweep_shares_its_backend_and_has_a_summary(made, capsys):
    words = ("-m", *SMALL, "strategy=greedy,self_consistency", "budget.completion_tokens=100,1k,8k")
    assert tts(*words, "hydra.sweep.dir=out") == 0
    assert len(made) == 1
    labels = [row["strategy"] for row in summary("out")]
    assert labels == [
        f"{strategy} completion_tokens={amount}"
        for strategy in ("greedy", "self_consistency")
        for amount in ("100", "1k", "8k")
    ]
    assert [summary(f"out/{i}")[0]["strategy"] for i in range(6)] == ["greedy"] * 3 + [
        "self_consistency"
    ] * 3
    assert {row["series"] for row in summary("out")} == {"greedy", "self_consistency"}
    assert (Path("out") / "accuracy_vs_compute.png").exists()
    spent = [row["completion_tokens"] for row in summary("out")[3:]]
    assert spent == sorted(spent)
    assert "completion_tokens=8k" in capsys.readouterr().out


def test_a_sweep_and_a_single_run_do_not_share_a_folder(capsys):
    assert tts(*SMALL, "hydra.run.dir=out") == 0
    assert tts("-m", *SMALL, "strategy.n=1,2", "hydra.run.dir=out") == 2
    assert "out holds a single run" in capsys.readouterr().err
    assert tts("-m", *SMALL, "strategy.n=1,2", "hydra.run.dir=sweep") == 0
    assert tts(*SMALL, "hydra.run.dir=sweep") == 0
    assert len(summary("sweep")) == 1
    assert len(summary("sweep/earlier/1")) == 2


def test_backends_that_differ_are_used_one_after_the_other(made, monkeypatch):
    running = []
    real = SimulatedBackend.start

    async def start(self):
        assert running in ([], [self])
        running[:] = [self]
        await real(self)

    async def aclose(self):
        running.clear()

    monkeypatch.setattr(SimulatedBackend, "start", start)
    monkeypatch.setattr(SimulatedBackend, "aclose", aclose)
    words = ("-m", *SMALL, "strategy.n=1,2", "backend.accuracy=0.2,0.9", "hydra.run.dir=out")
    assert tts(*words) == 0
    rows = summary("out")
    assert [row["strategy"] for row in rows] == [
        f"self_consistency n={n} accuracy={a}" for n in (1, 2) for a in (0.2, 0.9)
    ]
    assert {row["series"] for row in rows} == {
        f"self_consistency backend.accuracy={a}" for a in (0.2, 0.9)
    }
