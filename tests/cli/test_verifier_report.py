"""`tts verifier-report`: figures, files of fits, and what is made of them in later runs."""

from __future__ import annotations

import json

import pytest

from tests.evaluation.thinkers import record, tree, written
from tts.backends.simulated import SimulatedBackend
from tts.cli import main

RUN = (
    "run", "backend=simulated", "task.n_problems=40", "strategy=best_of_n", "strategy.n=4",
    "keep=tokens", "verifier=likelihood", "hydra.run.dir=run",
)  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder above that of a run with likelihoods and log-probabilities."""
    place = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        assert main(RUN) == 0
    return place


@pytest.fixture(autouse=True)
def _there(run, monkeypatch):
    monkeypatch.chdir(run)


def tell(*words):
    return main(["verifier-report", *map(str, words)])


def found(path="out.json"):
    with open(path) as file:
        return json.load(file)


def test_kept_scores_are_reported_and_nothing_is_generated(run, monkeypatch, capsys):
    monkeypatch.setattr(SimulatedBackend, "open", None)
    assert tell("run", "--json", "out.json") == 0
    figures = found()["arms"]["best_of_n"]
    assert (figures["n_problems"], figures["n_answers"]) == (40, 160)
    assert figures["accuracy"][0] == pytest.approx(
        sum(group["accuracy"] * group["answers"] for group in figures["levels"]) / 160
    )
    assert figures["auc"][1] <= figures["auc"][0] <= figures["auc"][2]
    assert figures["best_of_k"]["4"]
    out = capsys.readouterr().out
    assert "AUC" in out and "ceiling of resampling" in out and "level 6" in out
    assert "| AUC |" in (run / "run/verifier_report.md").read_text()
    assert (run / "run/verifier_report.png").read_bytes().startswith(b"\x89PNG")


def test_scored_anew_by_the_same_verifier_the_figures_are_the_same(capsys):
    assert tell("run", "--threshold", "0.6", "--json", "kept.json") == 0
    assert tell("run", "verifier=likelihood", "--threshold", "0.6", "--json", "anew.json") == 0
    assert found("kept.json")["arms"] == found("anew.json")["arms"]
    twice = ("verifier=mean", "+verifier@verifier.parts.third=likelihood")
    assert tell("run", *twice, "--threshold", "0.6", "--json", "mean.json") == 0
    kept, mean = found("kept.json")["arms"]["best_of_n"], found("mean.json")["arms"]["best_of_n"]
    assert mean["auc"] == pytest.approx(kept["auc"], abs=1e-9)
    assert kept["threshold_given"] and kept["threshold"] == 0.6


def test_several_runs_are_told_apart_and_none_is_counted_twice(run, capsys):
    assert tell("run", "./run", "--json", "out.json") == 0
    assert list(found()["arms"]) == ["best_of_n"]
    assert tell("run", run / "run", "--json", "out.json") == 0
    assert list(found()["arms"]) == ["run: best_of_n", f"{run / 'run'}: best_of_n"]


@pytest.mark.parametrize("method", ["isotonic", "platt"])
def test_a_calibration_is_fitted_and_used(method, capsys):
    assert tell("run", "--fit", "fit.json", "--method", method, "--json", "out.json") == 0
    fit = found()["fit"]
    before, after = fit["held_out"].values()
    assert after["n_problems"] == before["n_problems"] < 40
    assert after["ece"] < before["ece"]
    if method == "platt":
        assert after["auc"] == pytest.approx(before["auc"])
    assert "problems. Written to fit.json" in capsys.readouterr().out
    # In a run, in a combination, and in a report on the same samples.
    calibrated = ("verifier=calibrated", "verifier.path=fit.json")
    small = ("backend=simulated", "task.n_problems=2", "strategy=best_of_n", "strategy.n=2")
    assert main(["run", *small, *calibrated, "hydra.run.dir=used"]) == 0
    inside = ("verifier=mean", "verifier@verifier.parts.first=calibrated")
    path = "verifier.parts.first.path=fit.json"
    assert main(["run", *small, *inside, path, "hydra.run.dir=used"]) == 0
    assert tell("run", *calibrated, "--json", "out.json") == 0
    assert found()["arms"]["best_of_n"]["reliability"]["ece"] < 0.15


def test_a_calibration_of_another_verifier_or_model_is_refused(run, capsys):
    assert tell("run", "--fit", "fit.json") == 0
    calibrated = ("verifier=calibrated", "verifier.path=fit.json")
    capsys.readouterr()
    assert tell("run", *calibrated, "verifier@verifier.verifier=mean") == 2
    assert "fitted on scores of another verifier" in capsys.readouterr().err
    text = (run / "fit.json").read_text()
    (run / "fit.json").write_text(text.replace('"model": "', '"model": "llama and not '))
    assert tell("run", *calibrated) == 2
    err = capsys.readouterr().err
    assert "fitted on answers of llama and not" in err and "--fit FILE" in err


def test_a_probe_is_trained_and_used(capsys):
    assert tell("run", "--fit-probe", "probe.json", "--json", "out.json") == 0
    fit = found()["fit"]
    assert {"probe, whole answers", "likelihood, 16 tokens"} <= fit["held_out"].keys()
    assert list(found()["arms"]) == ["probe, half of best_of_n"]
    probe = ("verifier=probe", "verifier.path=probe.json")
    assert tell("run", *probe, "--json", "out.json") == 0
    assert found()["arms"]["best_of_n"]["n_answers"] == 160
    small = ("backend=simulated", "task.n_problems=2", "strategy.n=4", "strategy=beam_search")
    assert main(["run", *small, *probe, "hydra.run.dir=used"]) == 0


def test_a_cascade_and_a_cache_judge_samples_that_are_there(capsys):
    cascade = ("verifier=cascade", "verifier@verifier.dear=likelihood", "verifier.high=0.9")
    assert tell("run", *cascade) == 0
    cached = ("verifier=cached", "verifier.path=scores.sqlite", "--json")
    assert tell("run", *cached, "one.json") == 0
    assert tell("run", *cached, "other.json") == 0
    assert found("one.json")["arms"] == found("other.json")["arms"]


@pytest.fixture
def bare(tmp_path, run):
    """A run without scores."""
    (folder := tmp_path / "bare").mkdir()
    (folder / "config.yaml").write_text((run / "run/config.yaml").read_text())
    ids = ["mini-test-1-0", "mini-test-2-0"]
    pairs = [(record(i, ["66", "67"]), tree(i, ["\\boxed{66}", "\\boxed{67}"])) for i in ids]
    return written(folder, pairs)


@pytest.mark.parametrize(
    ("words", "sentence", "hint"),
    [
        ((), "required", "--help"),
        (("verifier=likelihood",), "No results were named", "Name the folder"),
        (("nowhere",), "no folder nowhere", "Name the folder of a run"),
        (("run", "--arm", "greedy"), "no arm 'greedy'", "There are: best_of_n"),
        (("run", "strategy=greedy"), "says nothing of samples", "the verifier"),
        (("run", "--fit", "a", "--fit-probe", "b"), "--fit and --fit-probe", "one after the other"),
        (("run", "--fit", "no/where.json"), "--fit: there is no folder", ""),
        (("run", "--threshold", "high"), "--threshold", "--help"),
        (("run", "--method", "spline"), "--method", "--help"),
        (("run", "verifier=calibrated"), "verifier.path", "verifier.path="),
        (("run", "run/../run", "--fit", "f.json"), "There are 2 arms to fit on", "--arm"),
    ],
)
def test_bad_input_is_named(words, sentence, hint, capsys):
    assert tell(*words) == 2
    err = capsys.readouterr().err
    assert sentence in err and hint in err
    assert "Traceback" not in err


def test_a_run_without_scores_or_log_probabilities_says_the_way_out(bare, capsys):
    assert tell(bare) == 2
    err = capsys.readouterr().err
    assert "no scores of them" in err and "verifier=prm" in err
    assert tell(bare, "verifier=likelihood") == 2
    assert "keep=tokens" in capsys.readouterr().err
    assert tell(bare, "--fit-probe", "probe.json") == 2
    assert "provenance.json does not tell the backends" in capsys.readouterr().err
    (bare / "provenance.json").write_text('{"backends": [{"model": "m"}]}')
    assert tell(bare, "--fit-probe", "probe.json") == 2
    err = capsys.readouterr().err
    assert "hold no log-probabilities" in err and "keep=tokens verifier=likelihood" in err
