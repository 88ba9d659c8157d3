"""Verdicts by the interval: the rules, and how often a false claim is met."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multinomial

from tts.errors import ConfigError
from tts.evaluation.claims import Claim, cautious, head, judge
from tts.evaluation.statistics import Interval, bootstrap

ABOUT = {"what": "one against two", "on": "made up", "command": "tts run experiment=x"}
relaxed = settings(deadline=None)


def arms(wins, losses, ties):
    arm = [1] * wins + [0] * losses + [1] * ties
    reference = [0] * wins + [1] * losses + [1] * ties
    return tuple({str(i): [x] for i, x in enumerate(side)} for side in (arm, reference))


def claim(wins, losses, ties, kind, margin):
    return Claim.of(*arms(wins, losses, ties), kind=kind, margin=margin, **ABOUT)


@pytest.mark.parametrize(
    "low, high, kind, margin, verdict",
    [
        (0.01, 0.05, "superiority", 0.0, "met"),
        (0.00, 0.05, "superiority", 0.0, "undecided"),
        (-0.05, 0.00, "superiority", 0.0, "not met"),
        (0.01, 0.05, "superiority", 0.02, "undecided"),
        (-0.01, 0.02, "superiority", 0.02, "not met"),
        (-0.01, 0.05, "non-inferiority", 0.02, "met"),
        (-0.02, 0.05, "non-inferiority", 0.02, "undecided"),
        (-0.05, -0.02, "non-inferiority", 0.02, "not met"),
        (-0.01, 0.01, "equivalence", 0.02, "met"),
        (-0.01, 0.02, "equivalence", 0.02, "undecided"),
        (0.02, 0.05, "equivalence", 0.02, "not met"),
        (-0.05, -0.02, "equivalence", 0.02, "not met"),
        (-0.05, 0.05, "equivalence", 0.02, "undecided"),
    ],
)
def test_the_verdict_follows_from_the_interval(low, high, kind, margin, verdict):
    assert judge(Interval((low + high) / 2, low, high), kind, margin) == verdict


def test_many_problems_decide():
    assert claim(120, 60, 820, "superiority", 0.0).verdict == "met"
    assert claim(60, 120, 820, "superiority", 0.0).verdict == "not met"
    assert claim(60, 60, 880, "non-inferiority", 0.03).verdict == "met"
    assert claim(60, 60, 880, "equivalence", 0.03).verdict == "met"
    assert claim(60, 60, 880, "superiority", 0.0).verdict == "undecided"


def test_few_problems_do_not():
    assert claim(4, 0, 1, "superiority", 0.0).verdict == "undecided"
    assert claim(0, 0, 20, "non-inferiority", 0.05).verdict == "undecided"
    assert claim(5, 0, 1495, "superiority", 0.0).verdict == "undecided"


@pytest.mark.parametrize("edge", [0.0, 0.05, -0.1])
def test_a_false_claim_is_rarely_met(edge):
    """Counted over all outcomes of 40 problems whose true difference lies at the margin."""
    n = 40
    cells = np.array([(w, x, n - w - x) for w in range(n + 1) for x in range(n + 1 - w)])
    lows = [cautious([1.0] * w + [-1.0] * x + [0.0] * t).low for w, x, t in cells]
    met = np.array(lows) > edge + 1e-12
    for apart in np.linspace(max(0.05, abs(edge)), 0.95, 12):
        law = [(apart + edge) / 2, (apart - edge) / 2, 1 - apart]
        assert multinomial.pmf(cells, n, np.clip(law, 0, 1)) @ met <= 0.032


@given(
    values=st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0]), min_size=1, max_size=40),
    margin=st.sampled_from([0.02, 0.1, 0.4]),
)
@relaxed
def test_caution_only_widens_and_verdicts_turn_with_the_arms(values, margin):
    found, plain = cautious(values, (2,)), bootstrap(values, (2,), bounds=(-1.0, 1.0))
    assert found.low <= plain.low <= plain.high <= found.high
    back = cautious([-v for v in values], (2,))
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low))
    if judge(found, "equivalence", margin) == "met":
        assert judge(found, "non-inferiority", margin) == "met"
    if judge(found, "superiority", margin) == "met":
        assert judge(found, "superiority", 0.0) == "met"


def test_repeats_narrow_a_claim():
    rng = np.random.default_rng(0)
    chances = rng.random(300)

    def arm(repeats):
        drawn = rng.random((300, repeats)) < chances[:, None]
        return {str(i): row for i, row in enumerate(drawn.tolist())}

    width = []
    for repeats in (1, 8):
        made = Claim.of(arm(repeats), arm(repeats), kind="equivalence", margin=0.05, **ABOUT)
        width.append(made.interval.high - made.interval.low)
    assert width[1] < 0.5 * width[0]


def test_a_claim_is_a_row_of_markdown():
    made = claim(120, 60, 820, "superiority", 0.0)
    cells = [cell.strip() for cell in made.markdown().strip("|").split("|")]
    columns = [cell.strip() for cell in head().splitlines()[0].strip("|").split("|")]
    row = dict(zip(columns, cells, strict=True))
    assert row["problems"] == "1,000"
    assert row["difference"].startswith("+6.0 [+3.")
    assert row["verdict"] == "**met**"
    assert row["command"] == "`tts run experiment=x`"
    assert (
        "a\\|b"
        in Claim.of(
            *arms(3, 3, 3), kind="superiority", margin=0, what="a|b", on="", command=""
        ).markdown()
    )


@pytest.mark.parametrize(
    "change, named",
    [
        ({"kind": "parity"}, "kind:"),
        ({"margin": -0.1}, "margin:"),
        ({"margin": float("nan")}, "margin:"),
        ({"kind": "equivalence", "margin": 0.0}, "margin:"),
        ({"level": 1.0}, "level:"),
        ({"reference": {"z": [1]}}, "reference:"),
    ],
)
def test_bad_input_is_named(change, named):
    arm, reference = arms(2, 2, 2)
    given = {"arm": arm, "reference": reference, "kind": "superiority", "margin": 0.0, **ABOUT}
    with pytest.raises(ConfigError, match=named):
        Claim.of(**{**given, **change})


def costs(*values):
    return {str(i): [value] for i, value in enumerate(values)}


@pytest.mark.parametrize(
    "low, high, margin, verdict",
    [(0.2, 0.5, 0.5, "met"), (0.2, 0.6, 0.5, "undecided"), (0.51, 0.6, 0.5, "not met")],
)
def test_the_verdict_on_a_cost_follows_from_its_share(low, high, margin, verdict):
    assert judge(Interval((low + high) / 2, low, high), "cost", margin) == verdict


def test_a_claim_of_cost_is_a_share():
    made = Claim.of(
        costs(*range(90, 110)),
        costs(*range(290, 310)),
        kind="cost",
        cost="completion_tokens",
        margin=0.4,
        **ABOUT,
    )
    assert made.verdict == "met"
    assert "| cost: completion_tokens | 0.40 | 0.33 [0.3" in made.markdown()


@pytest.mark.parametrize(
    "kind, cost, margin, named",
    [
        ("cost", "", 0.5, "cost:"),
        ("cost", "money", 0.5, "cost:"),
        ("superiority", "usd", 0.5, "cost:"),
        ("cost", "usd", 0.0, "margin:"),
        ("cost", "usd", float("nan"), "margin:"),
    ],
)
def test_a_claim_of_cost_that_means_nothing_is_named(kind, cost, margin, named):
    with pytest.raises(ConfigError, match=named):
        Claim.of(*arms(2, 2, 2), kind=kind, cost=cost, margin=margin, **ABOUT)
