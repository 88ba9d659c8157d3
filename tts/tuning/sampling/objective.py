"""What an arm of a sampling tuner is judged by: the accuracy of the user's strategy, by problem.

A vote of sixteen wants other draws than a single answer does, so a sample by itself is never what
counts. Where a strategy draws independent samples, the chance that its number of them is decided
rightly is taken over all subsets of those that are there (`tts.evaluation.curves`): ties are shared
instead of drawn, and more samples than the strategy needs make the figure less noisy. Of any other
strategy each problem says what came of it, 0 or 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from tts.errors import ConfigError
from tts.evaluation.curves import Independent, chance_at
from tts.evaluation.records import Record
from tts.protocols import Strategy
from tts.solve import Setup
from tts.strategies import Greedy
from tts.tuning.sampling.halving import Score
from tts.types import ProblemId


def values(setup: Setup, k: int | None, records: Iterable[Record]) -> dict[ProblemId, list[float]]:
    """What each problem says of an arm, one value a repeat, 0 to 1; failed ones say nothing.

    Args:
        setup: How the problems were solved.
        k: Samples that the user's strategy decides by; None if it does not draw independent ones.
        records: What came of them.
    """
    found: dict[ProblemId, list[float]] = {}
    for record in records:
        if record.failed or record.correct is None:
            continue
        chance = None if k is None else chance_at(setup, record, k)
        value = float(record.correct) if chance is None else chance
        found.setdefault(record.problem_id, []).append(value)
    return found


def scores(
    found: Mapping[ProblemId, Sequence[float]], problems: Iterable[ProblemId]
) -> list[Score]:
    """The mean over the repeats of each problem, in order; None where there is none."""
    return [fmean(found[name]) if found.get(name) else None for name in problems]


def samples_of(strategy: Strategy) -> int | None:
    """How many independent samples a strategy decides by; None if it draws no such samples."""
    return strategy.n if isinstance(strategy, Independent) and strategy.independent else None


def check_samples(strategy: Strategy, samples: int) -> None:
    """Refuse a number of samples that a strategy cannot be judged by.

    Args:
        strategy: The user's.
        samples: To draw of each problem.

    Raises:
        ConfigError: It has no independent samples, or decides by more.
    """
    n = samples_of(strategy)
    if n is None:
        raise ConfigError(
            f"--samples is {samples}, and {type(strategy).__name__} draws no independent samples"
            " of which some could be taken.",
            hint="Leave it out; repeats=2 solves each problem twice.",
        )
    if samples < n:
        raise ConfigError(
            f"--samples is {samples}, and the strategy decides by {n}.", hint="Raise it."
        )


def most_tokens(setup: Setup, repeats: int) -> int:
    """Most completion tokens that an arm can take for one problem, all its repeats.

    Raises:
        ConfigError: Nobody knows.
    """
    bounds = []
    if setup.budget is not None and setup.budget.completion_tokens is not None:
        bounds.append(setup.budget.completion_tokens)
    n = 1 if isinstance(setup.strategy, Greedy) else samples_of(setup.strategy)
    if n is not None:
        bounds.append(n * setup.max_tokens)
    if not bounds:
        raise ConfigError(
            f"--tokens: nobody knows how many tokens {type(setup.strategy).__name__} may take for"
            " a problem.",
            hint="Set budget.completion_tokens, which limits each problem.",
        )
    return int(min(bounds)) * repeats
