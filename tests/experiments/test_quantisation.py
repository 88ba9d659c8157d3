"""The table of cards."""

from __future__ import annotations

from experiments.quantisation.__main__ import table
from tts.quantize.card import Card

CARD = Card(
    scheme="w8a8_int8",
    model="mini-reasoner",
    method="gptq",
    group=0,
    narrow=True,
    layers=21,
    calibration=None,
    measured_on="The checkpoint as it is.",
    seed=0,
    bytes_before=2000,
    bytes_after=500,
    versions={},
    command="",
    accuracy_before=0.598,
    accuracy_after=0.596,
    difference=-0.002,
    interval=(-0.011, 0.006),
    verdict="met",
    divergence=0.00004,
    divergence_interval=(-0.0002, 0.0002),
)


def test_a_line_says_what_a_card_says():
    assert table([CARD]).splitlines()[2] == (
        "| mini-reasoner | `w8a8_int8`, weights of 7 bits | 2,000 → 500 | 59.8% → 59.6% |"
        " -0.2 [-1.1, +0.6] | yes | 0.0000 [-0.0002, 0.0002] |"
    )


def test_what_could_not_be_measured_is_said():
    nothing = CARD.model_copy(update={"verdict": None, "narrow": False})
    line = table([CARD, nothing]).splitlines()[3]
    assert line == "| mini-reasoner | `w8a8_int8` | 2,000 → 500 | not measured |  |  |  |"
    assert line.count("|") == table([CARD]).splitlines()[0].count("|")
