"""Best-of-N and its votes: what they choose, what they cost, and how they are stopped."""

from __future__ import annotations

from collections import Counter

import pytest

import tts
from tts.backends.simulated import SimulatedBackend, Step
from tts.errors import CapabilityMissing, ConfigError
from tts.types import Published, Stop


async def test_majority_is_the_most_frequent_answer(world, problem):
    result = await tts.solve(
        problem, strategy=tts.SelfConsistency(n=25), backend=world.backend(), seed=3
    )
    votes = Counter(c.answer.key for c in result.candidates if c.answer)
    assert len(result.candidates) == 25
    assert votes[result.best.answer.key] == max(votes.values())


async def test_best_of_n_takes_the_likeliest(world, problem):
    result = await tts.solve(
        problem, strategy=tts.BestOfN(n=16), backend=world.backend(), verifier=tts.Likelihood()
    )
    scores = [c.score.raw for c in result.candidates if c.answer]
    assert result.best.score.raw == max(scores)
    assert result.usage.verifier_calls == 16
    assert result.usage.verifier_tokens == 0


async def test_weighted_best_of_n_adds_up(world, problem):
    result = await tts.solve(
        problem,
        strategy=tts.WeightedBestOfN(n=16),
        backend=world.backend(),
        verifier=tts.Likelihood(),
    )
    sums = Counter()
    for c in result.candidates:
        if c.answer:
            sums[c.answer.key] += c.score.probability
    assert result.best.answer.key == sums.most_common(1)[0][0]


async def test_side_by_side_costs_one_chain_of_sequential_tokens(world, problem):
    result = await tts.solve(problem, strategy=tts.SelfConsistency(n=8), backend=world.backend())
    lengths = [c.trajectory.clock for c in result.candidates]
    assert result.usage.sequential_tokens == max(lengths)
    assert result.usage.completion_tokens == sum(lengths)
    assert result.usage.calls == 8
    assert len(result.tree) == 8


async def test_batches_are_barriers_for_the_clock(problem):
    backend = SimulatedBackend(lambda p, node, seed: Step(f"\\boxed{{{seed}}}", 7))
    result = await tts.solve(
        problem,
        strategy=tts.SelfConsistency(n=12),
        backend=backend,
        controller=tts.BetaStopping(batch=4),
    )
    assert result.usage.completion_tokens == 12 * 7
    assert result.usage.sequential_tokens == 3 * 7


async def test_beta_stopping_saves_samples(problem):
    backend = SimulatedBackend(lambda p, node, seed: Step("\\boxed{5}", 7))
    result = await tts.solve(
        problem,
        strategy=tts.SelfConsistency(n=40),
        backend=backend,
        controller=tts.BetaStopping(batch=4),
    )
    assert result.usage.calls == 4
    assert isinstance(result.decisions[-1], Stop)
    assert result.status == "done"


async def test_answers_that_cannot_be_read_never_win(problem):
    def mostly_silent(p, node, seed):
        return Step("no idea", 3) if seed % 4 else Step("\\boxed{7}", 3)

    result = await tts.solve(
        problem, strategy=tts.SelfConsistency(n=32), backend=SimulatedBackend(mostly_silent)
    )
    assert result.answer == "7"
    silent = SimulatedBackend(lambda p, node, seed: Step("no idea", 3))
    result = await tts.solve(problem, strategy=tts.SelfConsistency(n=4), backend=silent)
    assert result.answer is None and result.status == "done"


async def test_the_best_so_far_is_published(world, problem):
    events = []
    await tts.solve(
        problem,
        strategy=tts.SelfConsistency(n=30),
        backend=world.backend(),
        on_event=events.append,
    )
    published = [e for e in events if isinstance(e, Published)]
    assert 5 < len(published) <= 30


@pytest.mark.parametrize("strategy", [tts.SelfConsistency, tts.BestOfN, tts.WeightedBestOfN])
def test_n_below_one_is_refused(strategy):
    with pytest.raises(ConfigError, match=r"strategy\.n is 0"):
        strategy(n=0)


async def test_a_missing_verifier_is_named_before_a_token_is_spent(world, problem):
    backend = world.backend()
    with pytest.raises(CapabilityMissing, match="BestOfN needs a verifier"):
        await tts.solve(problem, strategy=tts.BestOfN(), backend=backend)
    assert backend.generated == 0


async def test_missing_logprobs_are_named_before_a_token_is_spent(problem):
    backend = SimulatedBackend(lambda p, node, seed: Step("x", 1), capabilities=frozenset())
    with pytest.raises(CapabilityMissing, match="Likelihood needs 'logprobs'"):
        await tts.solve(problem, strategy=tts.BestOfN(), backend=backend, verifier=tts.Likelihood())
    assert backend.generated == 0
