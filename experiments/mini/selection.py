"""What choosing among answers by their final scores gives: figures by the package's estimators."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from experiments.mini.figures import Triple, by_level, triple
from experiments.mini.token_scores import Answers
from tts.evaluation.estimators import Pool, best_of_k, majority_at_k, weighted_majority_at_k
from tts.evaluation.statistics import bootstrap


def selection(answers: Sequence[Answers]) -> dict[str, Any]:
    """One sample, the majority, the best-scored and the weighted vote, of all answers there are.

    Args:
        answers: Of all problems, scored; equally many problems of each level, and equally many
            answers to each.

    Returns:
        The accuracy of each way by level, and paired differences of the ways over all levels.
    """
    pools = {problem.problem_id: _pool(problem) for problem in answers}
    k = min(len(pool.keys) for pool in pools.values())
    one, vote, best, weighted = "pass@1", f"majority@{k}", f"best-of-{k}", f"weighted vote@{k}"
    ways: dict[str, Callable[[Pool], float]] = {
        one: lambda pool: sum(pool.correct) / len(pool.correct),
        vote: lambda pool: majority_at_k(pool, k),
        best: lambda pool: best_of_k(pool, k),
        weighted: lambda pool: weighted_majority_at_k(pool, k).value,
    }
    values = {
        way: {name: estimate(pool) for name, pool in pools.items()}
        for way, estimate in ways.items()
    }
    pairs = ((vote, one), (best, vote), (weighted, vote))
    return {
        "levels": {way: by_level(each) for way, each in values.items()},
        "gaps": {f"{a} minus {b}": _gap(values[a], values[b]) for a, b in pairs},
    }


def _pool(problem: Answers) -> Pool:
    """An answer without a token, which has no score, comes last."""
    last = [float(scores[-1]) if len(scores) else 0.0 for scores in problem.scores]
    return Pool(problem.keys, problem.right, tuple(last))


def _gap(one: Mapping[str, float], other: Mapping[str, float]) -> Triple:
    values = [one[name] - other[name] for name in one]
    return triple(bootstrap(values, bounds=(-1.0, 1.0)))
