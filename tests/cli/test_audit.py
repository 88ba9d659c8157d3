"""`tts audit`: what it refuses, and a run that is audited with an engine of its own."""

from __future__ import annotations

import asyncio
import json

import pytest

import tts
from tests.engine_fixtures import other_peoples_warnings
from tts.cli import main
from tts.evaluation import Arm, Names, Store, evaluate
from tts.evaluation.store import CONFIG
from tts.solve import Setup
from tts.tasks.mini import MiniTask
from tts.types import Sampling


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """Outputs go to a folder of their own."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "needs either --candidate or --run"),
        (["--run", "x", "--candidate", "model=smollm2"], "needs either --candidate or --run"),
        (["--arm", "x", "--candidate", "model=smollm2"], "--arm: it names an arm of a run"),
        (["--tokens", "10", "--candidate", "seed=1"], "--tokens is 10; it must be at least 25."),
        (["--sequences", "5", "--candidate", "seed=1"], "--sequences is 5"),
        (["--tolerance", "0.5", "--candidate", "seed=1"], "--tolerance is 0.5"),
        (["--candidate", "model.sampling.temperature=0.2"], "answer other problems, or draw other"),
        (["--candidate", "task.n_problems=3"], "answer other problems, or draw otherwise"),
        (["backend=simulated", "--candidate", "seed=1"], "cannot read given texts"),
        (["--candidate", "model.engin.dtype=bfloat16"], "model.engin"),
        (["--candidate", "model.engine.reproducible=true", "model.engine.dtype=bfloat16"],
         "model.engine.dtype is 'bfloat16', and reproducible mode needs it unset"),
        (["experiment=demo", "--candidate", "seed=1"], "There are several arms"),
        (["--run", "nowhere"], "nowhere holds no config.yaml"),
    ],
)  # fmt: skip
def test_bad_input_is_named(words, sentence, capsys):
    assert main(["audit", *words]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.engine
@pytest.mark.slow
async def test_a_run_is_audited_by_its_own_model(vllm_backend, tmp_path, capsys):
    task, sampling = MiniTask(n_problems=90), Sampling(0.8)
    setup = Setup(tts.SelfConsistency(n=1), vllm_backend, max_tokens=224, sampling=sampling)
    names = Names(strategy_name="votes", task="mini", model="mini-reasoner", backend="vllm")
    arm = Arm("votes", setup, names, keep="tokens")
    with Store(tmp_path / "run", {"votes": arm.expected(task)}) as store:
        await evaluate(task, arm, store=store)
    words = ["task.n_problems=90", "model.sampling.temperature=0.8"]
    assert main(["run", *words, "--cfg", "job"]) == 0
    (tmp_path / "run" / CONFIG).write_text(capsys.readouterr().out)
    asked = ["audit", "--run", "run", "--sequences", "60", "--tokens", "100", "--tolerance", "0.2"]
    with other_peoples_warnings():
        code = await asyncio.to_thread(main, [*asked, "model.engine.max_num_seqs=16"])
    assert code == 0
    said = capsys.readouterr().out
    assert "ALIKE: AUC 0.500" in said and "with the noise of the draws" in said
    found = json.loads((tmp_path / "outputs/audit/audit.json").read_text())
    assert found["verdict"] == "alike" and found["noise"] is True
    assert [point["tokens"] for point in found["points"]] == [25, 50, 100]
    assert found["runs"]["candidate"]["texts"] == 90
    assert len(found["runs"]["honest"]["scores"]) == found["runs"]["candidate"]["sequences"] >= 40
    assert "| 100 | 0.500 [" in (tmp_path / "outputs/audit/audit.md").read_text()
    assert (tmp_path / "outputs/audit/audit.png").stat().st_size > 10_000
