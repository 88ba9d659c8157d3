"""`tts decisions`: runs of the simulated model, whose decisions are taken again."""

from __future__ import annotations

import json

import pytest

from tts.cli import main

RUN = (
    "run", "backend=simulated", "task.n_problems=12", "concurrency=12",
    '+arms.beta=["controller=beta","strategy.n=16"]',
    '+arms.pot=["controller=allocation","strategy.n=16","total_budget.calls=72"]',
    '+arms.one=["strategy=greedy"]',
)  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with two controllers, one of which shares a pot among all problems."""
    folder = tmp_path_factory.mktemp("decisions") / "run"
    assert main([*RUN, f"hydra.run.dir={folder}"]) == 0
    return folder


def rows(text):
    return {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.strip()}


def test_all_decisions_come_out_the_same(run, capsys):
    assert main(["decisions", str(run)]) == 0
    found = rows(capsys.readouterr().out)
    assert found["beta"][0] == "BetaStopping" and found["pot"][0] == "Allocation"
    assert {found["beta"][2], found["pot"][2]} == {"0"}
    assert int(found["beta"][1]) > 12 and int(found["pot"][1]) > 12 and "one" not in found


def test_another_controller_decides_otherwise(run, capsys):
    words = ("controller=beta", "controller.threshold=0.999", "--most", "2")
    assert main(["decisions", str(run), *words]) == 1
    out = capsys.readouterr().out
    assert int(rows(out)["beta"][2]) > 0
    assert out.count("beta: ") == 3 and "more" in out
    assert all("stopped" in line for line in out.splitlines() if line.startswith("beta: mini"))


def test_the_same_controller_in_other_words_is_no_difference(run, capsys):
    assert main(["decisions", str(run), "controller=beta", "--most", "0"]) == 1
    assert rows(capsys.readouterr().out)["beta"][2] == "0"


def test_a_decision_that_was_tampered_with_is_found(run, tmp_path, capsys):
    lines = (run / "results.jsonl").read_text().splitlines()
    place = next(i for i, line in enumerate(lines) if '"arm":"beta"' in line.replace(" ", ""))
    record = json.loads(lines[place])
    record["decisions"][0]["samples"] += 1
    lines[place] = json.dumps(record)
    (tmp_path / "results.jsonl").write_text("\n".join(lines) + "\n")
    (tmp_path / "config.yaml").write_text((run / "config.yaml").read_text())
    assert main(["decisions", str(tmp_path)]) == 1
    assert f"beta: {record['id']}, turn 1: granted" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("strategy=greedy",), "strategy=greedy does not choose a controller"),
        (("controller=nobody",), "controller"),
        (("--most", "-1"), "--most is -1"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(run, words, said, capsys):
    assert main(["decisions", str(run), *words]) == 2
    assert said in capsys.readouterr().err


def test_a_run_without_decisions_is_refused(tmp_path, capsys):
    run = ("run", "backend=simulated", "task.n_problems=2", "strategy=greedy")
    assert main([*run, f"hydra.run.dir={tmp_path}/out"]) == 0
    assert main(["decisions", f"{tmp_path}/out"]) == 2
    assert "holds no decisions" in capsys.readouterr().err
    assert main(["decisions", str(tmp_path)]) == 2
    assert "holds no results.jsonl" in capsys.readouterr().err
