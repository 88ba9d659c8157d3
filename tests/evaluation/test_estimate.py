"""What a run would cost: rehearsals against arithmetic, and against real runs."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.readers import Reader
from tts import BestOfN, BetaStopping, Budget, Greedy, SelfConsistency, solve_all
from tts.backends.arithmetic import simulated_arithmetic
from tts.backends.rehearsal import Rehearsal
from tts.budget import Allocation
from tts.budget.pot import cost_of
from tts.evaluation import Arm, Names
from tts.evaluation._stage import STEP
from tts.evaluation.estimate import MOST_REHEARSED, Assumptions, estimate, total
from tts.solve import Setup
from tts.tasks import Item, ItemTask, MiniTask
from tts.types import Capability, ModelInfo, Problem, Request, Result, Segment, Trajectory, Usage
from tts.verifiers import Likelihood

NAMES = Names(strategy_name="s", task="mini", model="simulated", backend="simulated")
PRICED = ModelInfo(
    "priced",
    active_params=1000,
    context=1 << 20,
    usd_per_prompt_token=1e-6,
    usd_per_completion_token=1e-5,
)


class Unstarted:
    """A backend that counts prompts by their length, and must not be asked for anything else."""

    capabilities = frozenset(Capability) - {Capability.VERIFIER, Capability.PARTIAL_SCORES}
    model = PRICED

    def identity(self):
        return {"model": "priced"}

    def prompt_tokens(self, problem, trajectory):
        text = problem.prompt + trajectory.text
        return len(text.split())

    def open(self, request):
        raise AssertionError("a request was made")

    async def start(self):
        raise AssertionError("the backend was started")

    async def aclose(self):
        raise AssertionError("the backend was closed")


@dataclass(frozen=True)
class Judge:
    """A verifier whose judgement reads the answer, and writes ten tokens on it."""

    requires: frozenset[Capability] = frozenset()
    partial: bool = True

    def bound(self, problem, tokens, ctx):
        judged = ctx.backend.model.usage(tokens, 0, 10).as_verifier()
        return judged + Usage(verifier_calls=1)

    async def score(self, problem, trajectories, ctx):
        raise AssertionError("the verifier was asked")


@dataclass(frozen=True)
class Stepwise:
    """One answer, line by line."""

    requires: frozenset[Capability] = frozenset()

    async def __call__(self, problem, env):
        node = Trajectory.root()
        while node.finish in (None, "step"):
            left = env.max_tokens - node.clock
            request = replace(env.request(node, 0), stop=("\n",), max_tokens=left)
            async with env.backend.open(request) as stream:
                async for _ in stream:
                    pass
            node = stream.trajectory
        return Result(problem.id, await env.candidate(node))


@dataclass(frozen=True)
class First:
    """Two answers side by side, of which the one that ends first is taken."""

    requires: frozenset[Capability] = frozenset()

    async def __call__(self, problem, env):
        streams = [env.backend.open(env.request(Trajectory.root(), n)) for n in range(2)]
        async with streams[0] as one, streams[1]:
            async for _ in one:
                pass
        return Result(problem.id, await env.candidate(one.trajectory))


def words(count, *, size=6):
    problems = [Problem(f"p{i}", prompt=" ".join(["word"] * size)) for i in range(count)]
    return ItemTask("words", [Item(p, "0") for p in problems], max_tokens=100)


def arm(strategy, backend=None, *, repeats=1, **options):
    setup = Setup(strategy=strategy, backend=backend or Unstarted(), max_tokens=100, **options)
    return Arm("arm", setup, NAMES, repeats=repeats)


def rehearsed(tokens=40, agreement=0.6, **more):
    return Assumptions(tokens, agreement, **more)


async def test_plain_sampling_is_arithmetic():
    found = await estimate(arm(SelfConsistency(5)), words(7), Rehearsal, rehearsed(40))
    assert (found.expected.calls, found.expected.prompt_tokens) == (35, 35 * 6)
    assert (found.expected.completion_tokens, found.upper.completion_tokens) == (1400, 3500)
    assert (found.expected.sequential_tokens, found.upper.sequential_tokens) == (280, 700)
    assert found.expected.usd == pytest.approx(35 * 6e-6 + 1400e-5)
    assert found.upper.usd == pytest.approx(35 * 6e-6 + 3500e-5)
    assert found.expected.flops == pytest.approx(2 * 1000 * (35 * 6 + 1400))


async def test_repeats_multiply():
    task = words(7)
    once = await estimate(arm(Greedy()), task, Rehearsal, rehearsed())
    thrice = await estimate(arm(Greedy(), repeats=3), task, Rehearsal, rehearsed())
    assert thrice.n_problems == 21
    assert thrice.upper.completion_tokens == 3 * once.upper.completion_tokens


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 12), limit=st.integers(20, 900), tokens=st.integers(1, 100))
async def test_no_budget_is_overdrawn(n, limit, tokens):
    budget = Budget(completion_tokens=limit, landing_tokens=8)
    given = rehearsed(tokens)
    found = await estimate(arm(SelfConsistency(n), budget=budget), words(1), Rehearsal, given)
    assert found.expected.completion_tokens <= found.upper.completion_tokens
    # The landing may come on top of answers that just did not fit.
    assert min(100 * n, limit - 8) <= found.upper.completion_tokens <= limit


async def test_short_answers_bound_the_calls_under_a_limit_on_tokens():
    # Of 100 tokens: one answer to the cap, but 14 of one token behind a prompt of six.
    budget = Budget(total_tokens=100)
    found = await estimate(
        arm(SelfConsistency(50), budget=budget), words(1), Rehearsal, rehearsed()
    )
    assert found.upper.calls == 14 and found.upper.prompt_tokens == 84
    assert found.upper.completion_tokens == 94


async def test_early_stops_depend_on_agreement_and_never_lower_the_bound():
    tokens, bounds, said = [], [], []
    for agreement in (0.2, 0.6, 1.0):
        given = rehearsed(40, agreement)
        one = arm(SelfConsistency(40), controller=BetaStopping())
        found = await estimate(one, words(20), Rehearsal, given)
        tokens.append(found.expected.completion_tokens)
        bounds.append(found.upper.completion_tokens)
        said.append(found.notes[0])
    assert tokens[0] > tokens[1] > tokens[2] == 20 * 4 * 40  # four alike are enough
    assert bounds == [20 * 40 * 100] * 3
    assert "100% of a problem's samples" in said[2]


async def test_judgements_cost_their_bound_or_what_they_have_cost():
    one = arm(BestOfN(3), verifier=Judge())
    found = await estimate(one, words(4), Rehearsal, rehearsed(40))
    assert found.expected.verifier_calls == 12
    assert found.expected.verifier_tokens == 12 * (6 + 40 + 10)
    assert found.upper.verifier_tokens == 12 * (6 + 100 + 10)
    assert found.upper.usd == pytest.approx(12 * (6e-6 + 100e-5 + 106e-6 + 10e-5))
    assert "upper bound" in found.notes[0]
    measured = await estimate(one, words(4), Rehearsal, rehearsed(40, verifier_tokens=20.0))
    assert measured.expected.verifier_tokens == 12 * 20 and not measured.notes
    assert measured.upper.verifier_tokens == found.upper.verifier_tokens


async def test_a_verifier_with_a_model_of_its_own_is_counted_and_not_started():
    reader = Reader()
    found = await estimate(arm(BestOfN(3), verifier=reader), words(4), Rehearsal, rehearsed(40))
    plain = await estimate(arm(SelfConsistency(3)), words(4), Rehearsal, rehearsed(40))
    assert not reader.started
    for cost, bare, answer in (
        (found.expected, plain.expected, 40),
        (found.upper, plain.upper, 100),
    ):
        read = 12 * 4 * (6 + answer)
        assert (cost.verifier_calls, cost.verifier_tokens) == (12, read)
        assert cost.flops == pytest.approx(bare.flops + 2.0 * read)
        assert cost.completion_tokens == bare.completion_tokens


async def test_a_budget_pays_for_answers_and_their_judgements():
    budget = Budget(total_tokens=1000)
    one = arm(BestOfN(30), verifier=Judge(), budget=budget)
    found = await estimate(one, words(1), Rehearsal, rehearsed(40))
    assert found.expected.total_tokens <= 1000 and found.upper.total_tokens >= 900


async def test_steps_cost_a_prompt_each():
    found = await estimate(arm(Stepwise()), words(1), Rehearsal, rehearsed(80))
    # 80 tokens in steps of 32: three requests, each with all that was written before.
    assert STEP == 32 and found.expected.calls == 3
    assert found.expected.completion_tokens == 80
    assert found.expected.prompt_tokens == 3 * 6 + 32 + 64
    assert "steps" in found.notes[0]


async def test_what_is_left_early_is_paid_until_then():
    seen = set()
    for number in range(20):
        task = ItemTask("one", [Item(Problem(f"q{number}", prompt="word"), "0")], max_tokens=100)
        given = rehearsed(lengths={f"q{number}": [30, 70]})
        found = await estimate(arm(First()), task, Rehearsal, given)
        seen.add(found.expected.completion_tokens)
    # Both of 30, or the other one left at 30; 70 and 30; both of 70.
    assert seen == {60, 100, 140}


async def test_large_tasks_are_sampled_by_prompt_length():
    sizes = [1 + (i * 37) % 500 for i in range(1000)]
    items = [Item(Problem(f"p{i}", prompt="w " * n), "0") for i, n in enumerate(sizes)]
    task = ItemTask("large", items, max_tokens=100)
    found = await estimate(arm(SelfConsistency(2)), task, Rehearsal, rehearsed(40))
    assert found.n_rehearsed <= MOST_REHEARSED < found.n_problems
    assert found.expected.prompt_tokens == pytest.approx(2 * sum(sizes), rel=0.02)
    assert 2 * sum(sizes) <= found.upper.prompt_tokens <= 2.1 * sum(sizes)
    assert found.expected.completion_tokens == 2 * 1000 * 40


async def test_time_is_unknown_without_a_speed():
    one = await estimate(arm(Greedy()), words(2), Rehearsal, rehearsed())
    assert one.seconds is one.seconds_upper is one.latency is total([one]).seconds is None
    given = rehearsed(tokens_per_second=20.0, stream_tokens_per_second=10.0)
    two = await estimate(arm(Greedy()), words(2), Rehearsal, given)
    assert (two.seconds, two.seconds_upper, two.latency) == (4.0, 10.0, 4.0)
    assert total([two, two]).seconds == 8.0


# --- one budget for all problems ----------------------------------------------------------------


def shared(strategy, total, *, repeats=1, **options):
    return replace(arm(strategy, repeats=repeats, **options), total_budget=Budget(**total))


@pytest.mark.parametrize(
    ("total", "limit"),
    [
        ({"completion_tokens": 500}, "completion_tokens"),
        ({"total_tokens": 600}, "total_tokens"),
        ({"calls": 10}, "calls"),
        ({"flops": 1e6}, "flops"),
        ({"usd": 0.004}, "usd"),
    ],
)
async def test_a_budget_for_all_caps_what_is_expected_and_the_bound(total, limit):
    one = shared(BestOfN(5), total, verifier=Judge())
    found = await estimate(one, words(7), Rehearsal, rehearsed(40))
    amount = total[limit]
    assert 0.9 * amount < cost_of(found.expected, limit) <= amount
    for name in ("completion_tokens", "prompt_tokens", "calls", "usd", "flops"):
        assert getattr(found.expected, name) <= getattr(found.upper, name) * (1 + 1e-9)
        assert limit != name or getattr(found.upper, name) <= amount
    (note,) = [n for n in found.notes if "total_budget" in n]
    assert f"total_budget.{limit} is {amount:,.10g}" in note


async def test_a_budget_for_all_that_is_not_in_the_way_changes_nothing():
    free = await estimate(arm(SelfConsistency(5)), words(7), Rehearsal, rehearsed(40))
    one = shared(SelfConsistency(5), {"calls": 1000})
    assert await estimate(one, words(7), Rehearsal, rehearsed(40)) == free


async def test_calls_bound_the_tokens_of_answers():
    one = shared(SelfConsistency(5), {"calls": 10}, repeats=3)
    found = await estimate(one, words(7), Rehearsal, rehearsed(40))
    assert (found.expected.calls, found.expected.completion_tokens) == (10, 400)
    assert (found.upper.calls, found.upper.completion_tokens) == (10, 1000)
    assert found.expected.sequential_tokens == 400  # no more than there are
    wide = await estimate(shared(SelfConsistency(5), {"calls": 21}), words(7), Rehearsal,
                          rehearsed(40))  # fmt: skip
    assert wide.expected.sequential_tokens == 7 * 40


async def test_a_controller_that_divides_the_budget_is_expected_to_spend_it():
    one = shared(SelfConsistency(40), {"calls": 56}, controller=Allocation())
    found = await estimate(one, words(7), Rehearsal, rehearsed(40))
    assert found.expected.calls == found.upper.calls == 56
    assert not any("agree" in note for note in found.notes)


async def test_a_limit_in_seconds_needs_a_speed():
    one = shared(SelfConsistency(5), {"seconds": 7.0})
    blind = await estimate(one, words(7), Rehearsal, rehearsed(40))
    assert blind.expected.calls == 35 and "no speed is known" in blind.notes[-1]
    timed = await estimate(one, words(7), Rehearsal, rehearsed(40, tokens_per_second=100.0))
    assert (timed.seconds, timed.seconds_upper) == (7.0, 9.0)
    assert timed.expected.completion_tokens == 700


# --- against real runs --------------------------------------------------------------------------

BOXED = MiniTask(n_problems=60, max_tokens=100)
REAL = [
    (Greedy(), {}),
    (SelfConsistency(8), {}),
    (SelfConsistency(8), {"budget": Budget(completion_tokens=300, landing_tokens=32)}),
    (SelfConsistency(30), {"budget": Budget(total_tokens=700)}),
    (SelfConsistency(30), {"budget": Budget(calls=5)}),
    (BestOfN(6), {"verifier": Likelihood(), "budget": Budget(flops=2e9)}),
    (SelfConsistency(20), {"controller": BetaStopping()}),
    (SelfConsistency(20), {"controller": BetaStopping(threshold=0.7, batch=1)}),
]


async def really(one, task):
    """What each problem really costs."""
    setup = one.setup
    options = {
        name: getattr(setup, name)
        for name in ("strategy", "backend", "verifier", "budget", "controller", "max_tokens")
    }
    options["answers"] = task.answers
    async with aclosing(solve_all(task.problems, **options)) as results:
        return [result async for result in results]


@pytest.mark.parametrize(("strategy", "options"), REAL, ids=lambda v: str(v)[:60])
@pytest.mark.parametrize("tokens", [60, 90])
async def test_a_real_run_costs_what_was_estimated_and_never_more(strategy, options, tokens):
    one = arm(strategy, simulated_arithmetic(tokens=tokens), answers=BOXED.answers, **options)
    results = await really(one, BOXED)
    spent = sum((r.usage for r in results), Usage())
    measured = {r.problem_id: [round(r.usage.completion_tokens / r.usage.calls)] for r in results}
    found = await estimate(one, BOXED, Rehearsal, rehearsed(lengths=measured))
    upper = found.upper.as_dict()
    for name, value in spent.as_dict().items():
        assert name == "seconds" or value <= upper[name] * (1 + 1e-9), name
    # Longer than the cap: such answers have no vote, which nothing in the accounts tells.
    if tokens == 60 or "controller" not in options:
        assert found.expected.completion_tokens == pytest.approx(spent.completion_tokens, rel=0.2)
        assert found.expected.prompt_tokens == pytest.approx(spent.prompt_tokens, rel=0.2)


def test_the_stand_in_counts_what_others_have_written():
    backend = Rehearsal(Unstarted(), lambda problem, seed: 10, lambda problem, seed: "Answer 0")
    problem = Problem("p", prompt="one two")
    root = Trajectory.root()
    ours = root.extend(Segment("and " * 5, tokens=(0,) * 5), child=0, clock=5)
    forced = ours.extend(Segment(" so it is", origin="forced"), child=0, clock=5)
    assert backend.prompt_tokens(problem, forced) == 2 + 5 + 3
    assert backend.plan(Request(problem, ours, max_tokens=100))[0] == 5  # of ten
