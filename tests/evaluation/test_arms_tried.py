"""What finished arms offer to a plan: at which numbers of samples, at what cost."""

from __future__ import annotations

import pytest

from tts.evaluation.arms import Tried, options, pilots
from tts.evaluation.records import CandidateRecord, Record, ScoreRecord
from tts.signals.pilot import Glimpse
from tts.types import Score

VOTE, BEST = "tts.strategies.SelfConsistency", "tts.strategies.BestOfN"


def record(name, keys, *, correct=False, scores=None, tokens=None, repeat=0, status="done"):
    """A problem whose right answer is 'r', ten tokens a sample."""
    found = [
        CandidateRecord(
            answer=None if key == "." else key,
            key=None if key == "." else key,
            correct=key == "r",
            score=ScoreRecord(raw=scores[i], scale="probability") if scores else None,
            finish="stop",
            clock=10,
        )
        for i, key in enumerate(keys)
    ]
    usage = {"completion_tokens": 10 * len(keys) if tokens is None else tokens}
    return Record(
        configuration="c", problem_id=name, repeat=repeat, arm="a", status=status, correct=correct,
        gold="r", usage=usage, candidates=tuple(found), seed=0,
    )  # fmt: skip


def vote(*records, label="sc n=8", n=8, **changes):
    return Tried(label, {"_target_": VOTE, "n": n}, records, **changes)


def test_a_vote_offers_every_smaller_number_and_behind_a_pilot_none_below_it():
    arm = vote(record("p", "rarraaaa"), record("q", "aaaarrrr"))
    behind, alone = options([arm], 3)
    assert [o.label for o in alone] == [f"sc n={k}" for k in (1, 2, 3, 4, 6, 8)]
    assert [o.strategy["n"] for o in behind] == [3, 4, 6, 8]
    assert [o.cost["p"] for o in alone] == [10, 20, 30, 40, 60, 80]
    assert [o.right["p"] for o in alone] == [1.0, 0.5, 1.0, 1.0, 0.5, 0.0]
    assert [o.right["q"] for o in alone] == [0.0, 0.0, 0.0, 0.0, 0.0, 0.5]


def test_the_best_score_of_the_first_samples_counts():
    arm = Tried("bon", {"_target_": BEST, "n": 2}, [record("p", "ar", scores=[0.2, 0.9])])
    _, alone = options([arm], 1)
    assert [o.right["p"] for o in alone] == [0.0, 1.0]


def test_a_search_pays_the_pilot_in_addition():
    search = Tried(
        "beam", {"_target_": "tts.strategies.BeamSearch"},
        [record("p", "rr", correct=True, tokens=500)],
    )  # fmt: skip
    behind, alone = options([vote(record("p", "rrrr")), search], 4)
    assert (alone[-1].cost["p"], behind[-1].cost["p"]) == (500, 540)
    assert behind[-1].right["p"] == 1.0


def test_a_vote_that_a_controller_ended_offers_what_it_was():
    arm = vote(record("p", "rrr", correct=True), fixed=False)
    behind, alone = options([arm], 2)
    assert len(alone) == len(behind) == 1 and alone[0].cost["p"] == 30


def test_the_longest_of_equal_arms_stands_for_all_and_repeats_are_averaged():
    short, long = vote(record("p", "rr"), n=2), vote(record("p", "rrra"), record("p", "aaaa",
        repeat=1), n=4)  # fmt: skip
    _, alone = options([short, long], 1)
    assert [o.right["p"] for o in alone] == [0.5, 0.5, 0.5, 0.5]


def test_failed_problems_say_nothing():
    _, alone = options([vote(record("p", "rr"), record("q", "rr", status="failed"))], 1)
    assert all(set(o.right) == {"p"} for o in alone)


@pytest.mark.parametrize(("pilot", "keys"), [(2, "ar"), (4, "arr.")])
def test_the_pilot_is_the_first_samples(pilot, keys):
    drawn = pilots([vote(record("p", "arr."))], pilot, "agreement")
    expected = [Glimpse(None if key == "." else key, None, 10) for key in keys]
    assert drawn == {"p": expected}


def test_the_score_of_a_pilot_is_taken_of_an_arm_that_has_scores():
    judged = Tried("bon", {"_target_": BEST}, [record("p", "ar", scores=[0.2, 0.6])])
    drawn = pilots([vote(record("p", "rrrr")), judged], 2, "score")
    assert [s.score for s in drawn["p"]] == [Score(0.2, "probability"), Score(0.6, "probability")]


def test_too_few_samples_are_no_pilot():
    assert pilots([vote(record("p", "rrrr"), record("q", "r"))], 2, "agreement") == {}
