"""The particle filter against the enumerated posterior of a small chain, and what it promises."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import pytest

import tts
from tts.backends.simulated import SimulatedBackend, Step
from tts.errors import ConfigError
from tts.seeds import derive
from tts.strategies import Stepper
from tts.strategies._resampling import RESAMPLERS, effective_size
from tts.strategies.particle_filter import ParticleFilter
from tts.testing import LengthVerifier
from tts.types import Problem, Score, Usage

PROBLEM = Problem("p", prompt="p")

# --- a chain of the states A and B, which ends at any step, and after three for sure -------------

MOVES = {"": (0.4, 0.35, 0.25), "A": (0.3, 0.3, 0.4), "B": (0.5, 0.2, 0.3)}


def moves(text):
    """What may follow a text: piece and probability; an answer ends with its path in a box."""
    path = text.replace("\n\n", "")
    end = f"\\boxed{{{path}.}}"
    if len(path) == 3:
        return {end: 1.0}
    return dict(zip(("A\n\n", "B\n\n", end), MOVES[path[-1:]], strict=True))


def ends(text):
    return text.endswith("}")


def chain(problem, node, seed):
    pieces = moves(node.text)
    (piece,) = random.Random(seed).choices(list(pieces), list(pieces.values()))
    return Step(piece, 1, final=ends(piece))


def goodness(text):
    """A score between 0.2 and 0.8 that nothing but the text decides."""
    return 0.2 + 0.6 * random.Random(derive(7, text)).random()


def odds(text):
    return goodness(text) / (1 - goodness(text))


def paths(text="", chance=1.0, steps=4):
    """The answers of up to `steps` steps, with the probability of each."""
    for piece, share in moves(text).items() if steps else ():
        if ends(piece):
            yield text + piece, chance * share
        else:
            yield from paths(text + piece, chance * share, steps - 1)


def normalise(weights):
    return {text: weight / sum(weights.values()) for text, weight in weights.items()}


def distance(one, other):
    """Total variation, 0 to 1."""
    return sum(abs(one.get(text, 0) - other.get(text, 0)) for text in one | other) / 2


@dataclass(frozen=True)
class Known(LengthVerifier):
    """Says of a text what it is told to say."""

    of: Callable[[str], float] = goodness
    scale: str = "probability"

    async def score(self, problem, trajectories, ctx):
        return [Score(self.of(t.text), self.scale) for t in trajectories]


async def run(simulate=chain, verifier=Known(), *, seed=0, budget=None, max_tokens=64, **filter):
    return await tts.solve(
        PROBLEM,
        strategy=ParticleFilter(**filter),
        backend=SimulatedBackend(simulate),
        verifier=verifier,
        seed=seed,
        budget=budget,
        max_tokens=max_tokens,
    )


def spread(result):
    """The final weights by text."""
    weights = Counter()
    for candidate, weight in zip(result.candidates, result.details["weights"], strict=True):
        weights[candidate.trajectory.text] += weight
    return weights


def normaliser(result):
    log = result.details["log_normaliser"]
    return 0.0 if log is None else math.exp(log)


def is_mean(values, mean):
    """Whether independent values have this mean, as far as four standard errors can tell."""
    average = sum(values) / len(values)
    variance = sum((value - average) ** 2 for value in values) / (len(values) - 1)
    return abs(average - mean) <= 4 * math.sqrt(variance / len(values)) + 1e-12


# --- laws -----------------------------------------------------------------------------------------


def test_the_chain_is_one():
    assert len(dict(paths())) == 15
    assert sum(dict(paths()).values()) == pytest.approx(1)


@pytest.mark.parametrize("ess_threshold", [None, 0.5], ids=["always", "triggered"])
@pytest.mark.parametrize("resampling", RESAMPLERS)
async def test_normaliser_and_posterior_are_unbiased(resampling, ess_threshold):
    """Not of large n: the mean over runs of Z-hat times the weight of a text is exact for any n."""
    how = {"n": 4, "mode": "exact", "final": "draw"}
    how |= {"resampling": resampling, "ess_threshold": ess_threshold}
    results = [await run(seed=seed, **how) for seed in range(200)]
    estimates = [normaliser(result) for result in results]
    exact = {text: chance * odds(text) for text, chance in paths()}
    total = sum(exact.values())
    assert is_mean(estimates, total)
    spreads = [spread(result) for result in results]
    for text, mass in exact.items():
        shares = [s[text] for s in spreads]
        assert is_mean([z * w for z, w in zip(estimates, shares, strict=True)], mass)
        drawn = [float(result.best.trajectory.text == text) for result in results]
        assert is_mean([d - w for d, w in zip(drawn, shares, strict=True)], 0)
    logs = [math.log(z) for z in estimates]
    assert sum(logs) / len(logs) < math.log(total)
    resampled = [flag for result in results for flag in result.details["resampled"][:-1]]
    assert all(resampled) == (ess_threshold is None) and any(resampled)


async def test_the_logarithm_of_the_normaliser_is_biased_downwards():
    logs = [math.log(normaliser(await run(seed=s, n=2, mode="exact"))) for s in range(300)]
    total = sum(chance * odds(text) for text, chance in paths())
    assert sum(logs) / len(logs) < math.log(total)
    assert not is_mean(logs, math.log(total))


async def test_draws_approach_the_posterior_as_particles_are_added():
    exact = normalise({text: chance * odds(text) for text, chance in paths()})
    how = {"mode": "exact", "final": "draw", "resampling": "systematic", "ess_threshold": 0.5}

    async def off(n, runs):
        results = [await run(seed=seed, n=n, **how) for seed in range(runs)]
        drawn = Counter(result.best.trajectory.text for result in results)
        weights = sum(map(spread, results), Counter())
        return distance(normalise(drawn), exact), distance(normalise(weights), exact)

    (drawn_few, few), (drawn_many, many) = await off(1, 150), await off(16, 80)
    assert few == pytest.approx(distance(dict(paths()), exact), abs=0.1) and few > 0.2
    assert many < 0.06
    assert drawn_many < drawn_few / 2


async def test_reference_weighs_every_step_once_where_all_answers_are_equally_long():
    """Where the newest score replaces the weight, scores of all steps multiply: as published."""

    def three(problem, node, seed):
        path = node.text.replace("\n\n", "")
        letter = random.Random(seed).choice("AB")
        piece = f"\\boxed{{{path}{letter}}}" if len(path) == 2 else f"{letter}\n\n"
        return Step(piece, 1, final=len(path) == 2)

    def product(a, b, c):
        one, two, all_ = f"{a}\n\n", f"{a}\n\n{b}\n\n", f"{a}\n\n{b}\n\n\\boxed{{{a}{b}{c}}}"
        return all_, odds(one) * odds(two) * odds(all_)

    expected = normalise(dict(product(*path) for path in map(tuple, _words())))
    newest = normalise({text: odds(text) for text in expected})
    weights = Counter()
    for seed in range(60):
        weights.update(spread(await run(three, seed=seed, n=16)))
    assert distance(normalise(weights), expected) < 0.05
    assert distance(normalise(weights), newest) > 0.1


def _words():
    return [a + b + c for a in "AB" for b in "AB" for c in "AB"]


async def test_answers_that_cannot_end_in_time_have_no_weight():
    exact = {text: chance * odds(text) for text, chance in paths(steps=2)}
    for how in ({"stepper": Stepper(max_steps=2)}, {"max_tokens": 2}):
        results = [await run(seed=s, n=4, mode="exact", **how) for s in range(200)]
        assert is_mean([normaliser(result) for result in results], sum(exact.values()))
        for result in results:
            assert {c.trajectory.text for c in result.candidates} <= exact.keys()
            # What has ended and died out was published, and is better than nothing.
            assert (result.answer is None) == (not result.candidates)
            alive = result.details["log_normaliser"] is not None
            assert sum(result.details["weights"]) == pytest.approx(float(alive))


# --- by hand --------------------------------------------------------------------------------------


def early_or_late(problem, node, seed):
    """Half of the answers end at once, the others after three steps."""
    late = seed % 2 if node.depth == 0 else 1
    ended = node.depth == 2 or not late
    return Step(f"\\boxed{{{node.depth}}}" if ended else "on\n\n", 2 + seed % 5, final=ended)


def told(by_depth):
    """Scores by the number of steps, so that those that have ended can be told."""
    return Known(of=lambda text: by_depth[text.count("\n\n") + text.count("}") - 1])


@pytest.mark.parametrize(("mode", "last"), [("reference", 1.0), ("exact", 4.0)])
async def test_an_answer_that_has_ended_keeps_its_weight(mode, last):
    """Of the others the last step has the odds 4 after 1: a weight of 4, or a factor of 4."""
    verifier = told((0.8, 0.5, 0.8))
    result = await run(early_or_late, verifier, n=8, mode=mode, resampling="systematic")
    early = sum(c.trajectory.depth == 1 for c in result.candidates)
    late = sum(c.trajectory.depth == 3 for c in result.candidates)
    assert 0 < early < 8 and 0 < late < 8 - early
    # After the first step all weights are equal, and systematic resampling keeps everyone; from
    # the second step on the ended ones outweigh the others by four, and some of those go.
    before = [math.log(4)] * early + [0.0] * (8 - early)
    after = [0.0] * (8 - late) + [math.log(last)] * late
    expected = [8, effective_size(before), effective_size(after)]
    assert result.details["ess"] == pytest.approx(expected)


async def test_without_resampling_weights_are_the_potentials_of_the_last_scores():
    verifier = told((0.8, 0.1, 0.6))
    result = await run(early_or_late, verifier, n=4, mode="exact", ess_threshold=1e-9)
    assert not any(result.details["resampled"])
    potentials = [4.0 if c.trajectory.depth == 1 else 1.5 for c in result.candidates]
    assert result.details["weights"] == pytest.approx([p / sum(potentials) for p in potentials])
    assert normaliser(result) == pytest.approx(sum(potentials) / 4)


async def test_ended_answers_that_look_best_crowd_out_the_others():
    result = await run(early_or_late, told((1.0, 0.0, 0.0)), n=4, seed=1)
    assert {c.trajectory.depth for c in result.candidates} == {1}
    assert len(result.details["ess"]) == 2  # the open ones look as good until their second step
    assert sum(result.details["weights"]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("scale", "odds"),
    [
        ("probability", lambda raw: raw / (1 - raw)),
        ("logit", math.exp),
        ("reward", math.exp),
    ],
)
async def test_scores_of_every_scale_have_a_potential(scale, odds):
    how = {"n": 4, "mode": "exact", "ess_threshold": 1e-9, "temperature": 2}
    result = await run(verifier=Known(scale=scale), **how)
    potentials = [math.sqrt(odds(c.score.raw)) for c in result.candidates]
    assert normaliser(result) == pytest.approx(sum(potentials) / 4)


async def test_certain_scores_are_clipped():
    verifier = told((0.0, 0.0, 1.0))
    result = await run(early_or_late, verifier, n=4, mode="exact", ess_threshold=1e-9)
    late = sum(c.trajectory.depth == 3 for c in result.candidates)
    assert normaliser(result) == pytest.approx(late / 4 * 1e7, rel=1e-6)


@pytest.mark.parametrize("final", ["argmax", "vote", "draw"])
async def test_the_answer_is_chosen_among_the_final_particles(final):
    chosen = set()
    for seed in range(30):
        result = await run(seed=seed, n=6, final=final)
        weights, votes = spread(result), Counter()
        chosen.add(result.best.trajectory.text)
        assert weights[result.best.trajectory.text] > 0
        for candidate, weight in zip(result.candidates, result.details["weights"], strict=True):
            votes[candidate.answer.key] += weight
        if final == "argmax":
            assert result.best.score.raw == max(map(goodness, +weights))
        if final == "vote":
            assert votes[result.best.answer.key] == pytest.approx(max(votes.values()))
    assert len(chosen) > 3


async def test_children_of_equal_particles_differ():
    result = await run(n=8, seed=3)
    keys = [leaf.key for leaf in result.tree]
    assert len(set(keys)) == len(keys)
    assert result.usage.calls == result.usage.verifier_calls


async def test_each_step_waits_for_the_slowest():
    result = await run(early_or_late, told((0.5, 0.5, 0.5)), n=4)
    by_depth = Counter()
    for leaf in result.tree:
        by_depth[leaf.depth] = max(by_depth[leaf.depth], len(leaf.segment.logprobs))
    assert result.usage.sequential_tokens == sum(by_depth.values())


async def test_nothing_that_ended_is_no_answer():
    result = await run(early_or_late, n=3, mode="exact", max_tokens=1)
    assert result.answer is None and result.candidates == ()
    assert result.details["ess"] == [0]
    assert result.details["log_normaliser"] is None


@pytest.mark.parametrize("mode", ["reference", "exact"])
@pytest.mark.parametrize("calls", [16, 20, 30, 40])
async def test_a_budget_that_runs_dry_ends_with_what_is_there(mode, calls):
    result = await run(n=8, mode=mode, budget=tts.Budget(calls=calls), seed=2)
    assert result.usage.calls + result.usage.verifier_calls <= calls
    if result.candidates:
        assert result.answer is not None
    assert result.limit == ("calls" if result.status == "exhausted" else "")


@pytest.mark.parametrize("mode", ["reference", "exact"])
async def test_what_it_tells_is_json(mode):
    result = await run(mode=mode)
    details = json.loads(json.dumps(dict(result.details), allow_nan=False))
    assert details == result.details
    assert len(details["ess"]) == len(details["resampled"]) and details["resampled"][-1] is False
    assert ("log_normaliser" in details) == (mode == "exact")


def test_a_particle_takes_a_token_and_a_judgement():
    assert ParticleFilter(n=5).first_step == Usage(completion_tokens=5, calls=5, verifier_calls=5)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"n": 0}, r"strategy\.n is 0"),
        ({"temperature": 0}, r"strategy\.temperature is 0"),
        ({"temperature": math.inf}, r"strategy\.temperature is inf"),
        ({"temperature": math.nan}, r"strategy\.temperature is nan"),
        ({"mode": "exakt"}, r"strategy\.mode is 'exakt'.*reference.*exact"),
        ({"resampling": "best"}, r"strategy\.resampling is 'best'.*systematic"),
        ({"final": "last"}, r"strategy\.final is 'last'.*argmax.*draw.*vote"),
        ({"mode": "exact", "ess_threshold": 0}, r"strategy\.ess_threshold is 0"),
        ({"mode": "exact", "ess_threshold": 1.1}, r"strategy\.ess_threshold is 1\.1"),
        ({"ess_threshold": 0.5}, r"strategy\.ess_threshold is 0\.5.*mode=exact"),
    ],
)
def test_what_makes_no_filter_is_refused(wrong, said):
    with pytest.raises(ConfigError, match=said):
        ParticleFilter(**wrong)


def test_a_threshold_of_one_is_every_step():
    assert ParticleFilter(ess_threshold=1.0).mode == "reference"
