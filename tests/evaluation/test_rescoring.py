"""Rescoring: what other votes, verifiers and graders make of the same samples."""

from __future__ import annotations

import asyncio
import math
import random

import pytest

from tests.readers import Reader
from tts.errors import CapabilityMissing, ConfigError, GradingError
from tts.evaluation.estimators import Pool
from tts.evaluation.rescoring import Judge, check_verifier_fits, rescore
from tts.evaluation.samples import Samples
from tts.tasks import MathAnswers, grade
from tts.testing import LengthVerifier
from tts.types import Problem, Score, Segment, Trajectory
from tts.verifiers.likelihood import Likelihood


async def mark(problem_id, answer):
    return await grade(answer, {"p": "4", "seven": "7"}[problem_id])


def samples(texts, scores=(), *, problem="p", logprobs=None):
    nodes = [
        Trajectory.root().extend(Segment(t, logprobs=logprobs), child=i, clock=0)
        for i, t in enumerate(texts)
    ]
    if scores:
        nodes = [n.scored(Score(s, "probability")) for n, s in zip(nodes, scores, strict=True)]
    return Samples(Problem(problem, prompt="2+2="), "unused", tuple(nodes))


async def test_texts_are_read_and_graded():
    texts = ["\\boxed{4}", "\\boxed{4.0}", "\\boxed{5}", "no idea"]
    pool = await Judge(MathAnswers(), mark).pool(samples(texts, (0.5, 0.1, 0.9, 0.2)))
    assert pool == Pool(("4", "4", "5", None), (True, True, False, False), (0.5, 0.1, 0.9, 0.2))


async def test_another_format_makes_other_answers():
    text = "The total is 7."
    strict = Judge(MathAnswers(fallback_last_number=False), mark)
    assert (await strict.pool(samples([text], problem="seven"))).correct == (False,)
    assert (await Judge(MathAnswers(), mark).pool(samples([text], problem="seven"))).correct == (
        True,
    )


async def test_a_verifier_scores_anew():
    judge = Judge(MathAnswers(), mark, LengthVerifier())
    pool = await judge.pool(samples(["\\boxed{4}", "\\boxed{5}"], (1.0, 1.0)))
    assert len(set(pool.scores)) == 2
    judge = Judge(MathAnswers(), mark, Likelihood())
    pool = await judge.pool(samples(["\\boxed{4}"], logprobs=(-0.5, -1.5)))
    assert pool.scores == (pytest.approx(math.exp(-1)),)


async def test_many_problems_are_scored_side_by_side():
    async def right(problem_id, answer):
        return answer == "4"

    reader, told = Reader(), []
    many = [samples(["\\boxed{4}", f"\\boxed{{{i}}}"], problem=f"p{i}") for i in range(30)]
    await reader.start()
    judge = Judge(MathAnswers(), right, reader)
    pools = await judge.pools(many, lambda: told.append(reader.busy))
    assert reader.most > 20, "and not one problem after the other"
    assert len(told) == 30 and list(pools) == [f"p{i}" for i in range(30)]
    assert pools["p7"] == await judge.pool(many[7])
    assert pools["p7"].correct == (True, False) and len(set(pools["p7"].scores)) == 2


async def test_the_first_error_ends_all_others():
    left = []

    async def crashes(problem_id, answer):
        if problem_id == "p3":
            raise GradingError("The grader crashed.")
        try:
            await asyncio.Event().wait()
        finally:
            left.append(problem_id)

    many = [samples(["\\boxed{4}"], problem=f"p{i}") for i in range(6)]
    with pytest.raises(GradingError):
        await asyncio.wait_for(Judge(MathAnswers(), crashes).pools(many), 60)
    assert sorted(left) == ["p0", "p1", "p2", "p4", "p5"]


async def test_a_verifier_that_asks_a_model_is_refused():
    class Asking(LengthVerifier):
        async def score(self, problem, trajectories, ctx):
            return ctx.backend

    with pytest.raises(CapabilityMissing, match="sends no request"):
        await Judge(MathAnswers(), mark, Asking()).pool(samples(["\\boxed{4}"]))


def test_log_probabilities_that_are_missing_are_named():
    with pytest.raises(CapabilityMissing, match="the samples hold none"):
        check_verifier_fits(Likelihood(), [samples(["x"])])
    check_verifier_fits(Likelihood(), [samples(["x"], logprobs=(-1.0,))])
    check_verifier_fits(LengthVerifier(), [samples(["x"])])


POOLS = {
    "a": Pool(("4", "5", "4", None), (True, False, True, False), (0.2, 0.9, 0.3, 0.1)),
    "b": Pool(("7", "7", "8", "9"), (False, False, False, True), (0.1, 0.1, 0.1, 0.9)),
}


def test_every_method_against_counting_by_hand():
    found = rescore(POOLS)
    means = {m: {k: i.mean for k, i in c.items()} for m, c in found.curves.items()}
    assert list(means["pass"]) == [1, 2, 4]
    # One of four and two of four are right; pairs without a right one: 1 of 6, and 3 of 6.
    assert means["pass"] == pytest.approx({1: 3 / 8, 2: (5 / 6 + 1 / 2) / 2, 4: 1.0})
    assert means["majority"][4] == pytest.approx((1 + 0) / 2)
    assert means["best_of_n"][4] == pytest.approx((0 + 1) / 2)
    # 0.2 + 0.3 for the right answer against 0.9; 0.9 for the right one against 0.2 and 0.1.
    assert means["weighted"][4] == pytest.approx((0 + 1) / 2)
    assert all(curve[1] == pytest.approx(3 / 8) for curve in means.values())
    assert (found.n_problems, found.n_samples, found.answered) == (2, (4, 4), 7 / 8)
    assert found.notes == ()


def test_what_cannot_be_told_is_missing_and_said():
    bare = Pool(("4",), (True,))
    found = rescore({"a": bare, "b": bare})
    assert set(found.curves) == {"pass", "majority"}
    assert not found.notes
    found = rescore({**POOLS, "c": bare})
    assert set(found.curves) == {"pass", "majority"}
    assert len(found.notes) == 2
    rewards = Pool(("4", "5"), (True, False), (-3.0, 7.5))
    found = rescore({"a": rewards})
    assert set(found.curves) == {"pass", "majority", "best_of_n"}
    assert "adds probabilities" in found.notes[0]


def test_a_k_beyond_the_pool_is_refused():
    with pytest.raises(ConfigError, match="pool of 4"):
        rescore(POOLS, [1, 8])


def test_curves_with_enough_points_are_given_their_laws():
    rng = random.Random(3)
    pools = {}
    for i in range(40):
        right = [rng.random() < 0.1 + 0.02 * i for _ in range(16)]
        keys = tuple("yes" if r else str(rng.randint(0, 9)) for r in right)
        pools[f"p{i}"] = Pool(keys, tuple(right))
    found = rescore(pools)
    for k, interval in found.curves["pass"].items():
        assert (
            interval.mean == 1
            or abs(found.coverage.at(k) - interval.mean) <= found.coverage.max_residual + 1e-9
        )
    for k, interval in found.curves["majority"].items():
        assert abs(found.saturation.at(k) - interval.mean) <= found.saturation.max_residual + 1e-9
    few = rescore(pools, [1, 2])
    assert few.coverage is None and few.saturation is None
    never = rescore({"a": Pool(("1",) * 8, (False,) * 8)})
    assert never.coverage is None and never.saturation is None
