"""The engine's knobs: which there are, what a user may name, what becomes of a point."""

from __future__ import annotations

import pytest

from tests.tuning.facts import H100, facts
from tts.engine import read_config
from tts.errors import ConfigError
from tts.tuning.engine.knobs import Knob, guesses, named, settings, usual, word


def values(found):
    return {knob.name: knob.values for knob in found}


def test_a_processor_with_draws():
    found = values(usual(facts()))
    assert found["threads"] == (1, 2, 3, 4)
    assert found["kv_cache_gib"] == (0.25, 0.5, 1.0, 2.0)
    assert found["enforce_eager"] == (True, False)
    assert all(size % 32 == 0 for size in found["block_size"])
    assert min(found["max_num_batched_tokens"]) >= 1024  # a prompt must fit in a step
    # Seeds and parts of prompts kill the engine; one memory node holds one part of the model.
    assert "enable_chunked_prefill" not in found
    assert "tensor_parallel_size" not in found


def test_greedy_decoding_needs_no_seeds():
    assert values(usual(facts(drawn=False)))["enable_chunked_prefill"] == (False, True)


def test_what_needs_something_is_left_out_without_it():
    found = values(usual(facts(steered=True, compiler=False)))
    assert "speculative_tokens" not in found
    assert "enforce_eager" not in found
    assert values(usual(facts(nodes=2)))["tensor_parallel_size"] == (1, 2)


def test_a_gpu():
    found = values(usual(facts(hardware=H100)))
    assert found["tensor_parallel_size"] == (1, 2)
    assert found["enable_chunked_prefill"] == (True, False)
    assert "threads" not in found and "kv_cache_gib" not in found


def test_what_the_user_sets_is_no_knob():
    extra = {"speculative_config": {"method": "x"}}
    config = read_config({"block_size": 64, "threads": 2, "extra": extra})
    found = values(usual(facts(config=config)))
    assert not {"block_size", "threads", "speculative_tokens"} & set(found)
    assert "max_num_seqs" in found


def test_a_user_names_values():
    found = named(usual(facts()), ["threads=2,1", "enable_prefix_caching=true,false"])
    assert values(found)["threads"] == (1, 2)  # in order, as neighbours are alike
    assert values(found)["enable_prefix_caching"] == (True, False)
    assert values(found)["block_size"] == (32, 64, 128)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("treads=1,2", "Did you mean threads"),
        ("scheme=fp8", "is no knob"),
        ("threads=some", "is no value"),
        ("threads=0", "engine.threads is 0"),
        ("threads", "is no value"),
        ("threads=1,1", "twice"),
        ("speculative_tokens=-1", "no number of tokens"),
        ("speculative_tokens=1.5", "no number of tokens"),
    ],
)
def test_slips_of_the_pen(text, said):
    with pytest.raises(ConfigError) as error:
        named(usual(facts()), [text])
    assert said in str(error.value)
    assert error.value.hint or "engine." in error.value.message


def test_a_point_becomes_settings():
    base = {"max_model_len": 1024, "extra": {"seed": 1}}
    found = settings(base, {"threads": 2, "kv_cache_gib": None, "speculative_tokens": 3})
    assert found["max_model_len"] == 1024 and found["threads"] == 2
    assert "kv_cache_gib" not in found
    assert found["extra"] == {"seed": 1}
    assert found["speculative"] == {"method": "ngram", "tokens": 3}
    read_config(found)
    assert settings(base, {"speculative_tokens": 0}) == base


def test_every_usual_value_is_a_setting():
    for machine in (facts(), facts(drawn=False, nodes=4), facts(hardware=H100)):
        for knob in usual(machine):
            for value in knob.values:
                read_config(settings({}, {knob.name: value}))


def test_words():
    assert Knob("threads", (1, 2)).words() == "threads=1,2"
    assert [word(value) for value in (None, True, False, 2, 0.5)] == [
        "null", "true", "false", "2", "0.5",
    ]  # fmt: skip
    assert Knob("threads", (1, 2)).ordered
    assert not Knob("enforce_eager", (True, False)).ordered


def test_the_first_guesses_have_room_for_all_sequences():
    place = {
        "max_num_seqs": 128,
        "kv_cache_gib": 0.5,
        "enforce_eager": True,
        "speculative_tokens": 0,
    }
    knobs = [knob for knob in usual(facts()) if knob.name in place]
    plain, compiled, drafted = guesses(knobs, place)
    assert plain == {**place, "max_num_seqs": 512, "kv_cache_gib": 2.0}
    assert compiled == {**plain, "enforce_eager": False}
    assert drafted == {**plain, "speculative_tokens": 4}
    assert guesses((), {}) == ()  # nothing is turned, and nothing guessed
