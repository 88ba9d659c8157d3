"""Steering on the real engine: what is forbidden, forced and tempered, alone and side by side."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from dataclasses import replace

import pytest
from scipy.stats import chisquare

from tts.backends.replay import ReplayBackend
from tts.types import Problem, Request, Sampling, Steering, Trajectory

pytestmark = pytest.mark.engine

GREEDY = Sampling(temperature=0.0)
PLAIN = Sampling(temperature=1.0)
PROBLEM = Problem.chat("p", "12+7*3-5+40-6=")
OPEN = Problem("open", prompt="+")  # after it six digits are likely, none of them very
DRAWS = 600


def ask(problem=PROBLEM, **how) -> Request:
    return Request(problem, Trajectory.root(), **{"max_tokens": 60, **how})


async def decode(backend, request):
    async with backend.open(request) as stream:
        async for _ in stream:
            pass
    return stream.trajectory


async def drawn(backend, steering, sampling=PLAIN):
    """First tokens of many seeded draws, as counts."""
    request = ask(OPEN, max_tokens=1, sampling=sampling, steering=steering)
    nodes = await asyncio.gather(
        *(decode(backend, replace(request, seed=1000 + seed)) for seed in range(DRAWS))
    )
    # The end of the answer is drawn like any token, and not kept.
    return Counter(node.segment.tokens[0] if node.segment.tokens else -1 for node in nodes)


async def model(backend):
    """The model's own distribution of the first token."""
    node = await decode(backend, ask(OPEN, max_tokens=1, logprobs=20, sampling=GREEDY))
    (top,) = node.segment.top_logprobs
    assert not backend.eos & set(top), "none of the likeliest tokens ends the answer"
    return {token: math.exp(value) for token, value in top.items()}


def fits(counts, weights) -> float:
    """The p-value of counts under weights; what is rare is put together."""
    total = sum(weights.values())
    often = [token for token, weight in weights.items() if DRAWS * weight / total >= 5]
    seen = [counts[token] for token in often]
    expected = [DRAWS * weights[token] / total for token in often]
    rest = DRAWS - sum(expected)
    if rest >= 5:
        seen, expected = [*seen, DRAWS - sum(seen)], [*expected, rest]
    scale = sum(seen) / sum(expected)
    return float(chisquare(seen, [value * scale for value in expected]).pvalue)


async def test_a_forbidden_token_never_appears(vllm_backend):
    free = await asyncio.gather(*(decode(vllm_backend, ask(seed=seed)) for seed in range(20)))
    assert sum("\n\n" in node.text for node in free) > 15
    steering = Steering({"\n\n": -math.inf}, banned=("+", "Wait"))
    steered = await asyncio.gather(
        *(decode(vllm_backend, ask(seed=seed, steering=steering)) for seed in range(20))
    )
    assert not any("\n\n" in node.text or "+" in node.text for node in steered)


async def test_a_bias_of_a_hundred_forces_a_token(vllm_backend):
    for sampling in (GREEDY, PLAIN):
        request = ask(sampling=sampling, seed=1, max_tokens=12, steering=Steering({"7": 100.0}))
        assert (await decode(vllm_backend, request)).text == "7" * 12


@pytest.mark.parametrize("temperature", [0.5, 3.0])
async def test_a_tempered_token_is_drawn_as_often_as_the_closed_form_says(
    vllm_backend, temperature
):
    weights = await model(vllm_backend)
    likeliest = max(weights, key=weights.get)
    name = vllm_backend.text.decode([likeliest])
    assert 0.2 < weights[likeliest] < 0.95
    counts = await drawn(vllm_backend, Steering(temperatures={name: temperature}))
    assert fits(counts, weights) < 1e-4, "the model's own distribution does not fit"
    weights[likeliest] **= 1 / temperature
    assert fits(counts, weights) > 0.01


async def test_the_sampling_temperature_comes_after_temperatures_and_biases(vllm_backend):
    weights = await model(vllm_backend)
    first, second = sorted(weights, key=weights.get)[-2:][::-1]
    names = [vllm_backend.text.decode([token]) for token in (first, second)]
    steering = Steering({names[1]: 1.0}, {names[0]: 3.0, names[1]: 1.5})
    counts = await drawn(vllm_backend, steering, Sampling(temperature=0.5))

    def steered(weights):
        total = sum(weights.values())
        plain = {token: weight / total for token, weight in weights.items()}
        tempered = {first: plain[first] ** (1 / 3), second: plain[second] ** (1 / 1.5) * math.e}
        return {**plain, **tempered}

    def sampled(weights):
        return {token: weight ** (1 / 0.5) for token, weight in weights.items()}

    assert fits(counts, sampled(steered(weights))) > 0.01
    assert fits(counts, steered(sampled(weights))) < 1e-4, "the other order"


async def test_log_probabilities_stay_those_of_the_model(vllm_backend):
    plain, steered = [
        await decode(vllm_backend, ask(OPEN, max_tokens=1, logprobs=5, seed=1, steering=steering))
        for steering in (None, Steering({"7": 100.0}))
    ]
    assert steered.text == "7"
    (one,), (other,) = plain.segment.top_logprobs, steered.segment.top_logprobs
    assert one == pytest.approx(other, abs=1e-4)
    assert steered.segment.logprobs[0] < -0.01


async def test_greedy_is_unchanged_by_what_names_nothing_relevant(vllm_backend):
    plain = await decode(vllm_backend, ask(sampling=GREEDY))
    steering = Steering({"?": -2.0, "7": 0.0}, {"\n\n": 1.0, "/": 0.9}, ("Wait", "("))
    steered = await decode(vllm_backend, ask(sampling=GREEDY, steering=steering))
    assert steered.segment.tokens == plain.segment.tokens


async def test_steered_and_unsteered_requests_side_by_side_do_not_leak(vllm_backend):
    """Lengths differ, so that rows of the batch come, go and move all the time."""
    kinds = [None, Steering({"7": 100.0}), Steering({"+": -math.inf}), Steering({"8": 100.0}), None]
    requests = [
        ask(seed=seed, max_tokens=5 + 7 * (seed % 9), steering=kinds[seed % len(kinds)])
        for seed in range(60)
    ]
    together = await asyncio.gather(*(decode(vllm_backend, request) for request in requests))
    for request, node in zip(requests, together, strict=True):
        if request.steering == kinds[1]:
            assert set(node.text) == {"7"}
        elif request.steering == kinds[3]:
            assert set(node.text) == {"8"}
        elif request.steering == kinds[2]:
            assert "+" not in node.text
    alone = [await decode(vllm_backend, r) for r in requests[:10]]
    assert [node.segment.tokens for node in alone] == [n.segment.tokens for n in together[:10]]


async def test_a_watched_stream_is_steered_too(vllm_backend):
    request = ask(seed=1, max_tokens=12, watch=True, steering=Steering({"7": 100.0}))
    assert (await decode(vllm_backend, request)).text == "7" * 12


async def test_a_cache_tells_steered_draws_from_others(vllm_backend, tmp_path):
    cache = ReplayBackend(vllm_backend, tmp_path)
    plain = ask(seed=3, max_tokens=12)
    steered = replace(plain, steering=Steering({"7": 100.0}))
    texts = [(await decode(cache, request)).text for request in (plain, steered, plain, steered)]
    cache.archive.close()
    assert texts[0] == texts[2] != texts[1] == texts[3] == "7" * 12
    assert (cache.stats.misses, cache.stats.hits) == (2, 2)
