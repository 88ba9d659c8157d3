"""The nouns: accounts add up, trajectories share their prefix, and nothing is squeezed."""

from __future__ import annotations

import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts.errors import BudgetExhausted, ContextTooLong, EngineDead
from tts.seeds import derive
from tts.types import ModelInfo, Problem, Sampling, Score, Segment, Trajectory, Usage

counts = st.integers(0, 10**9)
usages = st.builds(
    Usage, counts, counts, counts, counts, counts, counts, counts, counts, counts, counts
)


@given(usages, usages, usages)
def test_usage_is_an_algebra(a, b, c):
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)
    assert a + Usage() == a == a | Usage()
    assert a | b == b | a
    assert (a | b) | c == a | (b | c)
    assert (a | b).completion_tokens == (a + b).completion_tokens
    assert (a | b).sequential_tokens == max(a.sequential_tokens, b.sequential_tokens)


@given(usages)
def test_a_verifiers_cost_is_kept_apart(usage):
    verifier = usage.as_verifier()
    assert verifier.verifier_tokens == usage.total_tokens == verifier.total_tokens
    assert verifier.completion_tokens == verifier.prompt_tokens == verifier.calls == 0
    assert verifier.flops == usage.flops


def test_usage_prints():
    text = str(Usage(100, 20, 50, 0, 7, 2, 3, 1.5e9, 0.01, 2.5, 25))
    for part in (
        "50 completion",
        "25 sequential",
        "100 prompt",
        "20 cached",
        "2 verifier",
        "$0.01",
    ):
        assert part in text


@given(st.integers(0, 200), st.integers(0, 200), st.integers(1, 5), st.integers(1, 64))
def test_flops_is_the_sum_over_positions(start, n, layers, width):
    model = ModelInfo("m", active_params=1000, n_layers=layers, attention_width=width)
    expected = sum(2 * 1000 + 4 * layers * width * s for s in range(start, start + n))
    assert model.flops(start, start + n) == expected


def test_prices():
    model = ModelInfo(
        "m", usd_per_prompt_token=1, usd_per_cached_token=0.1, usd_per_completion_token=10
    )
    assert model.usage(10, 4, 2).usd == pytest.approx(6 + 0.4 + 20)


def chain(*texts: str) -> Trajectory:
    node = Trajectory.root()
    for text in texts:
        node = node.extend(Segment(text, logprobs=(-1.0,) * len(text)), child=0, clock=len(text))
    return node


@given(st.lists(st.text(max_size=5), max_size=6), st.data())
def test_cut_gives_the_prefix(texts, data):
    node = chain(*texts)
    position = data.draw(st.integers(0, len(node.text)))
    assert node.cut(position).text == node.text[:position]


def test_cut_at_a_boundary_keeps_the_node():
    node = chain("abc", "def")
    assert node.cut(3) is node.parent
    assert node.cut(6) is node
    assert node.cut(4).segments()[0] is node.segments()[0]
    assert node.cut(4).segments()[1].tokens is None
    with pytest.raises(ValueError, match="outside"):
        node.cut(7)


def test_keys_are_paths():
    root = Trajectory.root()
    a, b = (root.extend(Segment("x"), child=c, clock=0) for c in (0, 1))
    assert a.key != b.key
    assert a.key == root.extend(Segment("other"), child=0, clock=9).key
    deep_a, deep_b = (n.extend(Segment("x"), child=0, clock=0) for n in (a, b))
    assert len({a.key, b.key, deep_a.key, deep_b.key}) == 4


def test_a_barrier_only_delays():
    node = chain("abc")
    assert node.after(2) is node
    assert node.after(10).clock == 10
    assert node.after(10).key == node.key


def test_logprobs_skip_what_the_model_did_not_write():
    node = chain("ab").extend(Segment("!", origin="injected"), child=0, clock=2)
    assert node.logprobs == (-1.0, -1.0)
    assert node.extend(Segment("x"), child=0, clock=3).logprobs is None


def test_scores_are_never_squeezed():
    assert Score(0.0, "logit").probability == 0.5
    assert Score(-1e6, "logit").probability == 0.0
    assert Score(0.3, "probability").probability == 0.3
    with pytest.raises(ValueError, match="reward"):
        _ = Score(0.3, "reward").probability
    with pytest.raises(ValueError, match="between 0 and 1"):
        Score(1.1, "probability")
    with pytest.raises(ValueError, match="NaN"):
        Score(math.nan, "reward")


@pytest.mark.parametrize(
    "bad", [{"temperature": -1}, {"temperature": 3}, {"top_p": 0}, {"min_p": 2}, {"top_k": -1}]
)
def test_bad_sampling_is_refused_by_name(bad):
    with pytest.raises(ValueError, match=f"sampling.{next(iter(bad))}"):
        Sampling(**bad)


def test_a_problem_has_a_prompt_or_messages():
    with pytest.raises(ValueError, match="either"):
        Problem("p")
    with pytest.raises(ValueError, match="either"):
        Problem("p", prompt="x", messages=Problem.chat("q", "y").messages)
    assert [m.role for m in Problem.chat("q", "y", system="z").messages] == ["system", "user"]


@given(st.integers(0, 2**31), st.lists(st.one_of(st.integers(), st.text()), max_size=4))
def test_seeds_depend_on_names_only(seed, names):
    assert derive(seed, *names) == derive(seed, *names) < 2**48
    assert derive(seed, *names) != derive(seed, *names, "more")


def test_seeds_tell_names_apart():
    assert derive(0, "1", 2) != derive(0, 1, "2")
    assert derive(0, "a", "b") != derive(0, "ab")


def test_errors_cross_processes():
    for error in (
        ContextTooLong("too long.", hint="Shorten it."),
        EngineDead("dead."),
        BudgetExhausted("dry.", hint="h", limit="calls"),
    ):
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error)
        assert vars(again) == vars(error)
    assert EngineDead.retryable and not ContextTooLong.retryable


@given(st.lists(usages, max_size=5))
def test_the_total_is_what_adding_one_by_one_gives(given):
    assert Usage.total(given) == sum(given, Usage())
