"""The card: its figures against counts by hand, its verdict against the house's claims."""

from __future__ import annotations

import pytest

from tts.evaluation.claims import Claim
from tts.quantize.card import MARGIN, Calibration, Card, Measured
from tts.quantize.page import page, sentence
from tts.quantize.readings import Reading

READ = [Reading(-2.0, 4), Reading(-3.0, 6)]


def _outcomes(both, lost, won, neither):
    """Of the full and of the quantised model: so many problems of each kind."""
    pairs = [(1, 1)] * both + [(1, 0)] * lost + [(0, 1)] * won + [(0, 0)] * neither
    full = {f"p{i}": [float(a)] for i, (a, _) in enumerate(pairs)}
    return full, {f"p{i}": [float(b)] for i, (_, b) in enumerate(pairs)}


def _card(measured, **changes):
    about = {
        "scheme": "w4a16_gptq",
        "model": "mini-reasoner",
        "method": "gptq",
        "group": 32,
        "layers": 21,
        "calibration": Calibration(source="mini (train)", samples=8, answered=8, tokens=800),
        "task": "mini",
        "how": "Greedy decoding, one answer a problem.",
        "measured_on": "The checkpoint as it is",
        "seed": 0,
        "bytes_before": 2000,
        "bytes_after": 500,
        "versions": {"llmcompressor": "0.14"},
        "command": "tts quantize model=mini-reasoner scheme=w4a16_gptq",
    }
    return Card(**{**measured.model_dump(), **about, **changes})


@pytest.mark.parametrize(
    ("kinds", "verdict"),
    [
        ((1200, 10, 10, 780), "met"),
        ((1200, 40, 15, 745), "undecided"),
        ((1000, 200, 20, 780), "not met"),
    ],
)
def test_the_verdict_is_that_of_the_paired_interval(kinds, verdict):
    full, quantised = _outcomes(*kinds)
    found = Measured.of((full, READ), (quantised, READ))
    both, lost, won, _ = kinds
    assert found.n_problems == 2000
    assert found.accuracy_before == pytest.approx((both + lost) / 2000)
    assert found.accuracy_after == pytest.approx((both + won) / 2000)
    assert found.difference == pytest.approx((won - lost) / 2000)
    claim = Claim.of(
        quantised, full, what="", on="", kind="non-inferiority", margin=0.02, command=""
    )
    assert found.interval == (claim.interval.low, claim.interval.high)
    assert found.verdict == claim.verdict == verdict
    # What the words mean, by the interval alone.
    low, high = found.interval
    assert verdict == ("met" if low > -MARGIN else "not met" if high <= -MARGIN else "undecided")


def test_perplexity_and_divergence_are_of_the_same_answers():
    full, quantised = _outcomes(30, 2, 1, 7)
    worse = [Reading(-2.4, 4), Reading(-3.6, 6)]
    found = Measured.of((full, READ), (quantised, worse))
    assert found.perplexity_before == pytest.approx(2.718281828**0.5)
    assert found.perplexity_after == pytest.approx(2.718281828**0.6)
    assert (found.perplexity_tokens, found.divergence) == (10, pytest.approx(0.1))


def test_a_card_survives_its_file():
    full, quantised = _outcomes(1200, 10, 10, 780)
    card = _card(Measured.of((full, READ), (quantised, READ)))
    assert Card.model_validate_json(card.model_dump_json()) == card


def test_the_page_says_what_the_card_says():
    full, quantised = _outcomes(1000, 200, 20, 780)
    card = _card(Measured.of((full, READ), (quantised, READ)))
    said = page(card)
    assert sentence(card).startswith("Accuracy is inferior by 2 points or more on 2,000 problems")
    assert sentence(card) in said and card.command in said
    assert "| accuracy | 60.0% [57.9, 62.2] | 51.0% [48.8, 53.2] |" in said
    assert "21 layers by GPTQ, 32 weights share a scale." in said
    assert "8 samples of mini (train), 800 tokens; 8 of them are answered" in said


def test_what_was_not_measured_is_said_and_not_made_up():
    why = "Not measured, as activations are quantised too: no GPU"
    card = _card(Measured(), measured_on=why, calibration=None, group=0)
    said = page(card)
    assert sentence(card) == f"Accuracy was not compared. {why}."
    assert "| accuracy | – | – |" in said and "| perplexity | – | – |" in said
    assert "None was needed." in said and "a scale for each channel" in said
    assert card.verdict is None and card.accuracy_before is None
