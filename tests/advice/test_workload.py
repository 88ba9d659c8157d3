"""What is asked of an engine: checked, and shared by blocks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts.advice.workload import Workload
from tts.errors import ConfigError


@pytest.mark.parametrize(
    "field, value, sentence",
    [
        ("concurrency", 0, "workload.concurrency is 0; it must be 1 or more."),
        ("prompt_tokens", 0.5, "workload.prompt_tokens is 0.5; it must be 1 or more."),
        ("completion_tokens", float("nan"), "workload.completion_tokens is nan"),
        ("samples", float("inf"), "workload.samples is inf; it must be 1 or more."),
        ("shared_tokens", -1, "workload.shared_tokens is -1; it must be 0 or more."),
        ("shared_tokens", 512, "a part of it must be its own"),
    ],
)
def test_what_cannot_be_used_is_named(field, value, sentence):
    with pytest.raises(ConfigError, match=sentence.replace(".", r"\.")):
        Workload(**{field: value})


def test_full_blocks_are_shared_by_hand():
    # Of 100 tokens the last is computed again; 3 blocks of 32 hold 96 of the other 99.
    assert Workload(1, 100, 10).cached_tokens(32) == 0
    assert Workload(1, 100, 10, samples=4).cached_tokens(32) == 3 * 96 / 4
    assert Workload(1, 100, 10, samples=4, shared_tokens=70).cached_tokens(32) == (64 + 3 * 96) / 4
    assert Workload(1, 129, 10, samples=2).cached_tokens(128) == 64
    assert Workload(1, 20, 10, samples=8).cached_tokens(32) == 0


def test_a_chain_is_an_answer_unless_it_is_said():
    assert Workload(1, 10, 50).chain == 50
    assert Workload(1, 10, 50, sequential_tokens=300).chain == 300


@given(st.integers(1, 3000), st.integers(1, 64), st.sampled_from([16, 32, 128]), st.data())
def test_something_is_always_computed(prompt, samples, block, data):
    shared = data.draw(st.integers(0, prompt - 1))
    cached = Workload(1, prompt, 5, samples, shared).cached_tokens(block)
    assert 0 <= cached < prompt
