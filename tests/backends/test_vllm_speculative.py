"""Speculative decoding on the real engine: it changes no answer, and no distribution."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections import Counter
from itertools import accumulate

import pytest
import pytest_asyncio
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from tests.engine.heads import eagle, eagle3
from tests.engine_fixtures import other_peoples_warnings
from tts.backends.vllm import VLLMBackend
from tts.engine.drafting import laid_out
from tts.engine.models import BUNDLED
from tts.errors import CapabilityMissing, ConfigError, ModelNotFound, Unsupported
from tts.tasks.mini import MiniTask
from tts.types import (
    Capability,
    Problem,
    Request,
    Sampling,
    Segment,
    Steering,
    Structure,
    Trajectory,
)

pytestmark = pytest.mark.engine

PROBLEM = Problem.chat("p", "12+7*3-5+40-6=")
GREEDY = Sampling(temperature=0.0)
WAYS = {
    "ngram": {"method": "ngram", "tokens": 3},
    "draft": {"method": "draft", "model": "mini-reasoner-l", "tokens": 3},
    "eagle": {"method": "eagle", "tokens": 3},
    "eagle3": {"method": "eagle3", "tokens": 3},
}
HEADS = {"eagle": eagle, "eagle3": eagle3}
DRAWS, FIRST = 1500, 4  # answers that are drawn, and how many tokens of each are looked at
OPEN = Problem("open", prompt="4*7-2+4*7-2+4*7-2+")  # a prompt unlike those it was trained on


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=WAYS)
async def drafted(request, vllm_backend, tmp_path_factory):
    """The bundled model with tokens drafted for it: by its larger sister, or a head of its own.

    Takes the plain engine only so that all tests with one of them are run by one worker.
    """
    said = dict(WAYS[request.param])
    if make := HEADS.get(request.param):
        said["model"] = str(make(tmp_path_factory.mktemp(request.param)))
    with other_peoples_warnings():
        backend = VLLMBackend("mini-reasoner", {"speculative": said})
        await backend.start()
    yield backend
    with other_peoples_warnings():
        await backend.aclose()


def ask(problem=PROBLEM, **how) -> Request:
    return Request(problem, Trajectory.root(), **{"max_tokens": 150, **how})


async def decode(backend, request):
    async with backend.open(request) as stream:
        async for _ in stream:
            pass
    return stream


async def test_greedy_answers_are_the_same_token_by_token(vllm_backend, drafted):
    before = drafted.stats.drafts, drafted.stats.generation_tokens
    for item in MiniTask(n_problems=12).items:
        request = ask(item.problem, sampling=GREEDY, logprobs=0)
        plain, fast = await asyncio.gather(decode(vllm_backend, request), decode(drafted, request))
        one, other = plain.trajectory.segment, fast.trajectory.segment
        assert one.tokens == other.tokens
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-3)
        assert plain.usage.completion_tokens == fast.usage.completion_tokens
    stats = drafted.stats
    assert stats.drafts > before[0]
    assert 0 < stats.accepted_tokens <= stats.draft_tokens
    assert 2 / 32 < stats.acceptance <= 1  # there are 32 tokens


async def test_the_distribution_of_draws_is_the_models_own(vllm_backend, drafted):
    """Chi-square over beginnings of answers, against the probabilities of the plain engine."""
    how = {"sampling": Sampling(temperature=1.0), "max_tokens": FIRST}
    before = drafted.stats.draft_tokens
    streams = await asyncio.gather(
        *(decode(drafted, ask(OPEN, seed=seed, **how)) for seed in range(DRAWS))
    )
    assert drafted.stats.draft_tokens > before
    found = Counter(stream.trajectory.segment.tokens for stream in streams)
    likely = {}
    for tokens, count in found.items():
        if count < 3 or len(tokens) < FIRST:  # the rest is one group
            continue
        given = Segment("", tokens=tokens, tokenizer=vllm_backend.model.tokenizer)
        read, _ = await vllm_backend.read(OPEN, Trajectory.root(), given)
        likely[tokens] = math.exp(sum(read.logprobs))
    assert len(likely) > 5
    assert p_value(found, likely) > 1e-4
    # It can fail: the same draws are none of a somewhat colder model.
    cold = {tokens: p**1.25 for tokens, p in likely.items()}
    whole = sum(cold.values()) / sum(likely.values())
    assert p_value(found, {tokens: p / whole for tokens, p in cold.items()}) < 1e-4


def p_value(found, likely):
    """How likely counts as far from what is expected are; rare sequences are one group."""
    kept = {tokens: p for tokens, p in likely.items() if p * DRAWS >= 5}
    rest = 1 - sum(kept.values())
    groups = [(found[tokens], p * DRAWS) for tokens, p in kept.items()]
    groups.append((DRAWS - sum(count for count, _ in groups), max(rest, 1e-9) * DRAWS))
    distance = sum((count - wanted) ** 2 / wanted for count, wanted in groups)
    return float(chi2.sf(distance, len(groups) - 1))


async def test_a_seed_is_a_draw_here_as_well(drafted):
    hot = Sampling(temperature=1.0)
    first = await decode(drafted, ask(sampling=hot, seed=5))
    crowd = await asyncio.gather(*(decode(drafted, ask(sampling=hot, seed=n)) for n in range(8)))
    assert crowd[5].trajectory.text == first.trajectory.text


async def test_structures_hold_beside_it(drafted):
    held = Structure(regex=r"[0-9]{2}\+[0-9]{2}=[0-9]{3}")
    hot = Sampling(temperature=1.5)
    requests = [ask(sampling=hot, seed=seed, structure=held) for seed in range(8)]
    streams = await asyncio.gather(*(decode(drafted, request) for request in requests))
    assert all(re.fullmatch(held.regex, s.trajectory.text) for s in streams)


async def test_steering_is_refused_beside_it(drafted):
    assert Capability.LOGITS_PROCESSORS not in drafted.capabilities
    with pytest.raises(CapabilityMissing, match="speculative"):
        await decode(drafted, ask(steering=Steering(banned=("7",))))
    assert drafted.noise(1, [[1]]) is None


@given(st.lists(st.tuples(st.floats(0, 2, width=32), st.integers(0, 4)), min_size=1, max_size=9))
def test_each_request_has_its_temperature_at_each_of_its_tokens(requests):
    values = torch.tensor([value for value, _ in requests])
    counts = [count for _, count in requests]
    ends = torch.tensor(list(accumulate(counts)), dtype=torch.int32)
    found = laid_out(values, ends, sum(counts), replace_from=0, replace_to=1)
    wanted = [value if value else 1.0 for value, count in requests for _ in range(count)]
    assert found.dtype == values.dtype and found.tolist() == pytest.approx(wanted)


# --- before anything is started -----------------------------------------------------------------


def refuse(said, why, error=ConfigError, model="mini-reasoner", **how):
    with pytest.raises(error, match=why) as caught:
        VLLMBackend(model, {"speculative": said, **how})
    assert "\n" not in caught.value.message


def test_settings_that_cannot_be_meant():
    refuse({"method": "magic"}, r"engine\.speculative\.method")
    refuse({"toknes": 3}, r"speculative\.toknes")
    refuse({"tokens": 0}, r"engine\.speculative\.tokens")
    refuse({"method": "draft"}, "no model drafts")
    refuse({"method": "ngram", "model": "mini-reasoner-l"}, "drafts without a model")
    refuse({"shortest": 5, "longest": 2}, "above longest")
    refuse({"method": "draft", "model": "/no/where"}, "does not exist", ModelNotFound)
    refuse({}, "reproducible", reproducible=True)
    refuse({}, "extra", extra={"speculative_config": {"method": "ngram"}})


def test_models_that_do_not_fit(tmp_path):
    refuse({"method": "draft", "model": "mini-thinker"}, "knows [0-9]+ tokens")
    refuse({"method": "eagle", "model": "mini-reasoner-l"}, "is no EAGLE head")
    refuse({"method": "mtp"}, "no layers that draft")
    config = json.loads((BUNDLED / "mini-reasoner" / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "hidden_size": 64}))
    refuse({"method": "eagle3", "model": str(tmp_path)}, "a hidden size of 64")


def test_a_package_that_is_missing(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    refuse({"method": "suffix"}, "arctic-inference", Unsupported)


def test_what_vllm_is_told_and_what_it_is_filed_under(tmp_path):
    said = {"method": "draft", "model": "mini-reasoner"}
    backend = VLLMBackend("mini-reasoner-l", {"speculative": said})
    said = backend.engine.config.arguments["speculative_config"]
    path = str(BUNDLED / "mini-reasoner")
    assert said == {"method": "draft_model", "num_speculative_tokens": 3, "model": path}
    assert path not in json.dumps(backend.identity())
    plain = VLLMBackend("mini-reasoner-l")
    assert backend.identity() != plain.identity()  # a seed draws other answers
    heavier = backend.engine.config.footprint.weights - plain.engine.config.footprint.weights
    assert heavier > 0
