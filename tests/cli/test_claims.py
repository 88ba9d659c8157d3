"""Claims: fixed in the configuration, refused when they mean nothing, decided at the end."""

from __future__ import annotations

import json

import pytest

from tests.demo import SIMULATED
from tts.backends.simulated import SimulatedBackend
from tts.cli import main
from tts.errors import BackendError
from tts.evaluation.claims import judge
from tts.evaluation.statistics import Interval

RUN = ("run", *SIMULATED, "task.n_problems=12", "hydra.run.dir=out")
ONE = "{arm: best_of_n, reference: greedy}"
OTHER = "{arm: greedy, reference: best_of_n, kind: non-inferiority, margin: 0.9}"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_claim_is_decided_and_written(tmp_path, capsys):
    assert main([*RUN, f"claims=[{ONE},{OTHER}]"]) == 0
    first, second = json.loads((tmp_path / "out/claims.json").read_text())
    assert (first["what"], first["n_problems"]) == ("best_of_n against greedy", 12)
    for found in (first, second):
        interval = Interval(**found["interval"])
        assert found["verdict"] == judge(interval, found["kind"], found["margin"])
        assert f"**{found['verdict']}**" in (tmp_path / "out/summary.md").read_text()
    assert "Claim of non-inferiority, margin 90" in capsys.readouterr().out


def test_a_claim_of_cost_is_decided(tmp_path, capsys):
    pledge = "{arm: greedy, reference: best_of_n, kind: cost, cost: completion_tokens, margin: 0.5}"
    assert main([*RUN, f"claims=[{pledge}]"]) == 0
    (found,) = json.loads((tmp_path / "out/claims.json").read_text())
    assert (found["verdict"], found["cost"]) == ("met", "completion_tokens")
    assert "Claim of completion_tokens at most 0.5 times" in capsys.readouterr().out


def test_arms_that_failed_decide_nothing(tmp_path, monkeypatch):
    def fail(self, request):
        raise BackendError("The line is down.")

    monkeypatch.setattr(SimulatedBackend, "open", fail)
    assert main([*RUN, f"claims=[{ONE}]"]) == 3
    assert not (tmp_path / "out/claims.json").exists()


@pytest.mark.parametrize(
    ("claims", "sentence"),
    [
        ("[{arm: nobody, reference: greedy}]", "claims[0]: there is no arm 'nobody'"),
        ("[{arm: best_of_n}]", "claims[0].reference: Field required"),
        ("[{arm: best_of_n, reference: greedy, kind: better}]", "claims[0].kind"),
        ("[{arm: best_of_n, reference: greedy, margin: 2}]", "claims[0].margin: 2 is not"),
        ("[{arm: best_of_n, reference: greedy, kind: equivalence}]", "needs one above 0"),
        ("yes", "claims must be a list"),
    ],
)
def test_claims_that_mean_nothing_are_refused(claims, sentence, tmp_path, monkeypatch, capsys):
    def refuse(self):
        raise AssertionError("something was started")

    monkeypatch.setattr(SimulatedBackend, "start", refuse)
    assert main([*RUN, f"claims={claims}"]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
