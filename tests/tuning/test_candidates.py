"""The references, and what is refused before anything is started."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.tuning.facts import AVX2, FACTS, H100, facts
from tts.engine import read_config
from tts.tuning.engine.candidates import OURS, VLLM, need_gib, references, why_not
from tts.tuning.engine.knobs import usual

HERE = Path("somewhere")


def test_vllm_on_a_processor():
    theirs, ours = references(FACTS)
    assert (theirs.name, ours.name) == (VLLM, OURS)
    assert ours.point == {} and not ours.environment
    assert theirs.point["block_size"] == 128
    assert theirs.point["enforce_eager"] is False
    assert theirs.point["enable_chunked_prefill"] is False  # it would crash
    assert theirs.environment["VLLM_CPU_OMP_THREADS_BIND"] == "auto"
    assert theirs.environment["VLLM_ENABLE_V1_MULTIPROCESSING"] == "1"
    assert "libgomp" in theirs.environment.get("LD_PRELOAD", "libgomp")
    greedy, _ = references(facts(drawn=False))
    assert greedy.point["enable_chunked_prefill"] is True


def test_what_the_user_sets_holds_for_vllm_too():
    theirs, _ = references(facts(config=read_config({"block_size": 64})))
    assert "block_size" not in theirs.point


def test_on_a_gpu_there_is_one_reference():
    assert [each.name for each in references(facts(hardware=H100))] == [OURS]


def test_references_can_be_measured():
    for each in references(FACTS):
        assert why_not(each.point, {"max_model_len": 1024}, FACTS, HERE) == ""


def reason(point, **changes):
    return why_not(point, {"max_model_len": 1024}, facts(**changes), HERE)


def test_what_cannot_be_measured_has_a_reason():
    assert "kills the engine" in reason({"enable_chunked_prefill": True})
    assert reason({"enable_chunked_prefill": True}, drawn=False) == ""
    assert "steered" in reason({"speculative_tokens": 2}, steered=True)
    assert "multiple of 32" in reason({"block_size": 16})
    assert "4 cores" in reason({"threads": 8})
    assert "a prompt must fit" in reason({"max_num_batched_tokens": 512})
    assert "GiB are free" in reason({"kv_cache_gib": 40.0})
    little = reason({}, hardware=replace(AVX2, memory_gib=1.0))
    assert "1.0 GiB are free" in little


def test_memory_is_counted():
    base = {"max_model_len": 1024}
    small, large = (need_gib({"kv_cache_gib": gib}, base, FACTS, HERE) for gib in (1.0, 3.0))
    assert large - small == 2.0
    assert small > 2.5  # with the engine and the process around it


POINTS = st.fixed_dictionaries({k.name: st.sampled_from(k.values) for k in usual(FACTS)})


@given(POINTS)
def test_what_is_proposed_can_be_measured(point):
    """The usual values fit each other on a machine with room, whatever their combination."""
    assert why_not(point, {"max_model_len": 1024}, FACTS, HERE) == ""


def test_nothing_that_kills_is_usual():
    for drawn, steered in itertools.product((True, False), repeat=2):
        for knob in usual(facts(drawn=drawn, steered=steered)):
            if knob.name == "enable_chunked_prefill":
                assert not drawn
            if knob.name == "speculative_tokens":
                assert not steered
