"""Compute-optimal choice: a small pilot tells how difficult a problem is, and a plan what to do.

Source: Snell et al. 2024, "Scaling LLM Test-Time Compute Optimally can be More Effective than
Scaling Model Parameters": which method is best, and how much of it, depends on the difficulty.
There difficulty is estimated from 2,048 samples whose cost is left out; here from a few, which are
paid, and which are the first samples of the method that is chosen where that draws whole answers (a
vote, best-of-n). Other methods start anew, and the pilot is lost to them.

A plan is fitted by `tts plan`: bins of one signal (`tts.evaluation.difficulty`) or a regression on
several (`tts.evaluation.regression`); or it is written by hand as `bins`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tts._author import Author
from tts.errors import BudgetExhausted, ConfigError
from tts.protocols import Env, Selector, Strategy
from tts.selectors import BestScore, Majority
from tts.signals.pilot import Signal
from tts.strategies._common import sample_and_select
from tts.strategies._plan import PlanFile, read_plan
from tts.strategies._rules import Bin, Bins, Rule, glimpses
from tts.strategies._steps import check_width
from tts.strategies.self_consistency import SelfConsistency
from tts.types import Candidate, Capability, ModelInfo, Problem, Result

_BY_HAND = (
    Bin(SelfConsistency(n=4), 0.99),
    Bin(SelfConsistency(n=16), 0.5),
    Bin(SelfConsistency(n=32)),
)


@dataclass(frozen=True)
class ByDifficulty:
    """What a plan says for problems like this one.

    `Result.details` tells the strategy (`chosen`), beside what that one tells, and why: with bins
    the pilot's signal (`difficulty`; the easier, the larger) and the place of the `bin`; with a
    regression the place of the `option`, its `chance` to be right and its `tokens`, as forecast.

    Args:
        plan: File of a plan, which then says all else; None for the bins below.
        bins: The easiest first, the last one without a `least`.
        pilot: Samples by which difficulty is estimated, at least 1.
        signal: `agreement`: the share of the leading answer; `score`: the verifier's mean score. A
            regression reads more of both, see `tts.signals.pilot.features`.

    Raises:
        ConfigError: The plan cannot be read, or the bins leave something open.
    """

    plan: str | None = None
    bins: Sequence[Bin] = _BY_HAND
    pilot: int = 4
    signal: Signal = "agreement"
    _fitted: PlanFile | None = field(init=False, default=None, repr=False)
    _rule: Rule = field(init=False, repr=False)

    def __post_init__(self) -> None:
        fitted = None if self.plan is None else read_plan(self.plan)
        if fitted is not None:
            for name in ("pilot", "signal"):
                object.__setattr__(self, name, getattr(fitted, name))
        check_width("pilot", self.pilot)
        if self.signal not in ("agreement", "score"):
            raise ConfigError(
                f"strategy.signal is {self.signal!r}.", hint="Take agreement or score."
            )
        rule = Bins(tuple(self.bins), self.signal) if fitted is None else fitted.rule()
        object.__setattr__(self, "_fitted", fitted)
        object.__setattr__(self, "_rule", rule)
        object.__setattr__(self, "bins", rule.bins if isinstance(rule, Bins) else ())

    @property
    def requires(self) -> frozenset[Capability]:
        """What any of the strategies needs, and the pilot."""
        pilot = {Capability.VERIFIER} if self.signal == "score" else set()
        return frozenset(pilot).union(*(s.requires for s in self._rule.strategies))

    def check(self, model: ModelInfo, weights: str | None) -> None:
        """Refuse another model than the one that the plan was fitted to.

        Args:
            model: Will write the answers.
            weights: Hash of its weights; None if that is unknown.

        Raises:
            ConfigError: It is another one.
        """
        if self._fitted is not None:
            self._fitted.refuse_answers_of(Author.of(model, weights), str(self.plan))

    async def __call__(self, problem: Problem, env: Env) -> Result:
        """Draw the pilot, look up what to do, and do it."""
        scored = self.signal == "score"
        selector: Selector = BestScore() if scored else Majority()
        pilot = await sample_and_select(problem, env, self.pilot, selector, scored=scored)
        place, told = self._rule.choose(glimpses(pilot.candidates))
        strategy = self._rule.strategies[place]
        result = await _carried_on(strategy, problem, env, pilot.candidates)
        details = {**result.details, **told, "chosen": type(strategy).__name__}
        return replace(result, details=details)


async def _carried_on(
    strategy: Strategy, problem: Problem, env: Env, pilot: Sequence[Candidate]
) -> Result:
    """Run a strategy, on the samples of the pilot if it can use them."""
    if not getattr(strategy, "independent", False):
        return _later(await strategy(problem, env), pilot)
    n: int = strategy.n  # type: ignore[attr-defined]
    selector: Selector = strategy.selector  # type: ignore[attr-defined]
    scored = Capability.VERIFIER in strategy.requires
    if scored:
        pilot = await _judged(env, pilot)
    return await sample_and_select(problem, env, n, selector, scored=scored, begun=pilot)


async def _judged(env: Env, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those that have a score, and the others with one, as far as that can be paid."""
    judged = []
    for candidate in candidates:
        if candidate.score is None:
            try:
                (node,) = await env.score([candidate.trajectory])
            except BudgetExhausted:
                continue
            candidate = replace(candidate, trajectory=node)
        judged.append(candidate)
    return judged


def _later(result: Result, pilot: Sequence[Candidate]) -> Result:
    """A result whose search began when the pilot had ended."""
    start = max((c.trajectory.clock for c in pilot), default=0)
    moved = {
        id(c): replace(c, trajectory=c.trajectory.after(c.trajectory.clock + start))
        for c in (*result.candidates, *([result.best] if result.best else []))
    }
    candidates = tuple(moved[id(c)] for c in result.candidates)
    return replace(
        result, best=moved[id(result.best)] if result.best else None, candidates=candidates
    )
