"""Laws of early rejection: its savings, its survivors, and how rarely it loses the best."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from statistics import NormalDist, median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tts
from tests.strategies.random_trees import ANY_LENGTH, ROOT, Drawn, RandomTree
from tests.strategies.stories import PARAMS, ByHeads, Story
from tts.backends.simulated import SimulatedBackend, Step
from tts.seeds import derive
from tts.strategies import BeamSearch, Stepper
from tts.strategies.early_rejection import EarlyRejection
from tts.testing import LengthVerifier
from tts.types import Problem, Score

PROBLEM = Problem("p", prompt="What is it?")


async def search(strategy, story, **options):
    return await tts.solve(
        PROBLEM,
        strategy=strategy,
        backend=story.backend,
        verifier=ByHeads(),
        **{"max_tokens": 100_000, **options},
    )


@pytest.mark.parametrize(
    ("length", "tau", "width", "ratio"),
    [(256, 64, 4, 0.44), (256, 32, 4, 0.34), (128, 64, 4, 0.625), (80, 64, 4, 0.85)],
)
@pytest.mark.parametrize("n", [4, 16])
async def test_the_savings_are_those_of_the_formula(length, tau, width, ratio, n):
    steps, kept = 3, n // width
    early = await search(EarlyRejection(n, width, tau), Story([length] * steps))
    plain = await search(BeamSearch(n, width), Story([length] * steps))
    assert plain.usage.completion_tokens == steps * n * length
    assert early.usage.completion_tokens == steps * (n * tau + kept * (length - tau))
    exact = (tau + (length - tau) / width) / length
    assert early.usage.completion_tokens / plain.usage.completion_tokens == pytest.approx(exact)
    assert exact == pytest.approx(ratio, abs=0.005)
    assert early.usage.verifier_calls == steps * n + kept  # and the answers, judged whole
    assert early.usage.sequential_tokens == plain.usage.sequential_tokens == steps * length
    assert early.usage.flops == pytest.approx(
        2 * PARAMS * (early.usage.prompt_tokens + early.usage.completion_tokens)
    )
    assert early.details == {
        "tau": [tau] * steps,
        "cut": [n] * steps,
        "rejected": [n - kept] * steps,
        "tokens_saved": steps * (n - kept) * (length - tau),
    }


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 10**6),
    kinds=st.sampled_from([2, 1 << 30]),
    levels=st.sampled_from([3, 1 << 30]),
    tau=st.integers(9, 12),
)
async def test_where_no_step_is_longer_it_is_beam_search(seed, kinds, levels, tau):
    tree = RandomTree(seed, kinds, levels, ending=0.4)
    both = [
        await tts.solve(
            PROBLEM, strategy=strategy, backend=tree.backend(), verifier=tree.verifier()
        )
        for strategy in (
            EarlyRejection(8, 2, tau, stepper=ANY_LENGTH),
            BeamSearch(8, 2, ANY_LENGTH),
        )
    ]
    early, plain = ([c.trajectory.key for c in result.candidates] for result in both)
    assert early == plain
    assert both[0].usage.completion_tokens == both[1].usage.completion_tokens
    assert both[0].details["tokens_saved"] == 0


@dataclass(frozen=True)
class Tale(RandomTree):
    """A random tree whose steps go on from wherever they were cut, of one character a token."""

    def _simulate(self, problem, node, seed):
        begun = node.text.split("|")[-1]
        head = begun[:1] or random.Random(seed).choice("abcdefghijklmnopqrst"[: self.kinds])
        rng = random.Random(derive(self.seed, "step", node.text.count("|"), head))
        rest = (head + "." * rng.randrange(12) + "|")[len(begun) :]
        return Step(rest, len(rest), rng.random() < self.ending)


def brute_force(drawn, score, n, width, max_steps):
    """What early rejection finds, in order; how many it rejects, and how long survivors' steps are.

    The last two are told for each step.
    """
    found, rejected, lengths = [], [], []
    held, level = [], [drawn.take(ROOT, i) for i in range(n)]
    while level:
        found += [node.text for node in level if node.finish == "stop"]
        different = {(node.text, node.finish): node for node in reversed(held + level)}
        nodes = list(reversed(different.values()))
        places = sorted(range(len(nodes)), key=lambda i: (-score(nodes[i].text), i))
        beam = [nodes[i] for i in places[: n // width]]
        rejected.append(len([x for x in level if x.finish == "length" and x not in beam]))
        wholes = [drawn.take(x, 0) if x.finish == "length" else x for x in beam]
        found += [whole.text for whole in wholes if whole.finish == "stop" and whole not in beam]
        steps = [whole.text for x, whole in zip(beam, wholes, strict=True) if x in level]
        lengths.append([len(text[:-1].split("|")[-1]) + 1 for text in steps])
        held = [x for x in beam if x.finish == "stop"]
        held += [x for x in wholes if x.finish == "stop" and x not in beam]
        ends = [whole for whole in wholes if whole.finish != "stop"]
        if len(rejected) == max_steps:
            break
        level = [drawn.take(end, i * width + j) for i, end in enumerate(ends) for j in range(width)]
    return found, rejected, lengths


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 10**6),
    kinds=st.sampled_from([2, 20]),
    width=st.integers(1, 3),
    beams=st.integers(1, 4),
    tau=st.integers(1, 12) | st.just("auto"),
)
async def test_it_is_the_early_rejection_of_brute_force(seed, kinds, width, beams, tau):
    tale = Tale(seed, kinds)
    stepper = Stepper("|", max_steps=5, last="")
    result = await tts.solve(
        PROBLEM,
        strategy=EarlyRejection(width * beams, width, tau, stepper=stepper),
        backend=tale.backend(),
        verifier=tale.verifier(),
    )
    drawn = Drawn(result)
    found, rejected, lengths = brute_force(drawn, tale.score, width * beams, width, 5)
    assert not drawn  # nothing else was drawn
    assert [c.trajectory.text for c in result.candidates] == found
    assert [c.score.raw for c in result.candidates] == [tale.score(text) for text in found]
    assert result.details["rejected"] == rejected
    for step, used in enumerate(result.details["tau"]):
        before = [length for some in lengths[:step] for length in some]
        expected = math.ceil(round(0.64 * median(before), 9)) if before else None
        assert used == (expected if tau == "auto" else tau)


@dataclass(frozen=True)
class Averages(LengthVerifier):
    """The mean of a noisy score for each token; of one candidate in each problem it is higher."""

    noise: float = 2.0
    gap: float = 1.0

    async def score(self, problem, trajectories, ctx):
        return [Score(self._one(t.text), "reward") for t in trajectories]

    def _one(self, text):
        deviation = self.noise / math.sqrt(len(text))
        return random.Random(text).gauss(self.gap * text.startswith("best"), deviation)


async def test_the_best_is_rejected_as_rarely_as_theory_says():
    def simulate(problem, node, seed):
        if node.depth:
            return Step("." * 10, 10, True)
        best = seed == derive(0, problem.id, 0, "", 0)
        return Step(("best" if best else "rest") + str(seed).ljust(396, "."), 400, True)

    n, problems, lost = 4, 200, {}
    for tau in (25, 64, 100):
        strategy = EarlyRejection(n, n, tau, stepper=Stepper(max_steps=1))
        many = tts.solve_all(
            [Problem(f"p{i}", prompt="?") for i in range(problems)],
            strategy=strategy,
            backend=SimulatedBackend(simulate),
            verifier=Averages(),
        )
        lost[tau] = 0
        async for result in many:
            (survivor,) = {node.parent.key for node in result.tree if node.depth == 2}
            texts = {node.key: node.text for node in result.tree}
            lost[tau] += not texts[survivor].startswith("best")
        sigma = Averages().noise / math.sqrt(tau)
        chance = rejected_by_chance(n, Averages().gap / sigma)
        error = math.sqrt(chance * (1 - chance) / problems)
        assert abs(lost[tau] / problems - chance) < 4 * error
        assert chance <= (n - 1) * math.exp(-(Averages().gap ** 2) / (4 * sigma**2))
    assert lost[25] > lost[64] > lost[100]


def rejected_by_chance(n, lead):
    """Probability that the best of n normal scores is not the one with the lead."""
    normal, step = NormalDist(), 0.01
    grid = [k * step for k in range(-800, 801)]
    return 1 - sum(normal.pdf(z) * normal.cdf(z + lead) ** (n - 1) * step for z in grid)
