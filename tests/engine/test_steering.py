"""Steering inside the engine, without an engine: its arithmetic, and who is in which row."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.engine_fixtures import other_peoples_warnings
from tts.engine import EngineConfig, Hardware, Shape, resolve
from tts.engine.logits import lay_out, steer
from tts.engine.steering import PROCESSOR, Entry

CPU = torch.device("cpu")
LOGITS = st.lists(st.floats(-20, 20), min_size=3, max_size=8)


def steered(rows, entries):
    return steer(torch.tensor(rows, dtype=torch.float32), lay_out(entries, CPU))


def softmax(row):
    weights = [math.exp(value - max(row)) for value in row]
    return [weight / sum(weights) for weight in weights]


# --- arithmetic ---------------------------------------------------------------------------------


@given(LOGITS, st.floats(0.2, 5), st.floats(-10, 10))
def test_a_steered_token_has_the_closed_form_beside_the_others(row, temperature, bias):
    plain = softmax(row)
    weights = [plain[0] ** (1 / temperature) * math.exp(bias), *plain[1:]]
    entry = Entry(((0, bias),), ((0, temperature),))
    found = torch.softmax(steered([row], {0: entry})[0], dim=-1).tolist()
    assert found == pytest.approx([weight / sum(weights) for weight in weights], abs=1e-5)


@given(LOGITS, st.floats(-50, 50))
def test_what_is_added_to_all_logits_changes_no_probability(row, shift):
    entry = {0: Entry(temperatures=((1, 3.0),))}
    one = torch.softmax(steered([row], entry)[0], dim=-1)
    other = torch.softmax(steered([[value + shift for value in row]], entry)[0], dim=-1)
    assert torch.allclose(one, other, atol=1e-4)


def test_rows_and_tokens_that_are_not_named_stay_bit_by_bit():
    rows = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
    entries = {1: Entry(((2, 5.0),), ((4, 2.0),)), 3: Entry(temperatures=((0, 0.5), (6, 3.0)))}
    found = steer(rows.clone(), lay_out(entries, CPU))
    changed = {(int(row), int(token)) for row, token in (found != rows).nonzero()}
    assert changed == {(1, 2), (1, 4), (3, 0), (3, 6)}


def test_a_forbidden_token_has_no_probability_at_all():
    row = steered([[50.0, 0.0, -3.0]], {0: Entry(((0, -math.inf),))})[0]
    assert torch.softmax(row, dim=-1)[0] == 0
    assert int(row.argmax()) == 1


def test_a_certain_token_stays_certain_at_any_temperature():
    row = steered([[0.0, -math.inf, -math.inf]], {0: Entry(temperatures=((0, 0.01),))})[0]
    assert torch.softmax(row, dim=-1).tolist() == [1, 0, 0]


def test_entries_survive_the_way_to_the_engine():
    import msgspec

    entry = Entry(((3, -math.inf), (5, 1.5)), ((3, 2.0),))
    sent = msgspec.msgpack.decode(msgspec.msgpack.encode(entry.write()))
    assert Entry.read(sent) == entry
    assert Entry().write() is Entry.read(None) is Entry.read({"another": 1}) is None


# --- who is in which row ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def processor_class():
    with other_peoples_warnings():
        from tts.engine.processor import SteeringProcessor
    return SteeringProcessor


def params(token=None):
    return SimpleNamespace(extra_args=token if token is None else Entry(((token, 9.0),)).write())


def raised(processor, rows, ctx=None):
    """Which token is raised in each row."""
    logits = processor.apply(torch.zeros(rows, 8), *([] if ctx is None else [ctx]))
    return [int(row.argmax()) if row.any() else None for row in logits]


def test_the_first_runner_moves_requests_and_their_steering_goes_with_them(processor_class):
    with other_peoples_warnings():
        from vllm.v1.sample.logits_processor import BatchUpdate, MoveDirectionality

    def update(size, removed=(), added=(), moved=()):
        ins = [(row, params(token), [], []) for row, token in added]
        processor.update_state(BatchUpdate(size, removed, ins, moved))

    processor = processor_class(None, CPU, False)
    processor.update_state(None)
    assert raised(processor, 2) == [None, None]
    update(4, added=[(0, 5), (1, None), (2, 6), (3, None)])
    assert raised(processor, 4) == [5, None, 6, None]
    update(4, moved=[(0, 3, MoveDirectionality.SWAP)])
    assert raised(processor, 4) == [None, None, 6, 5]
    update(3, removed=[2], moved=[(3, 2, MoveDirectionality.UNIDIRECTIONAL)])
    assert raised(processor, 3) == [None, None, 5]
    update(3, added=[(2, None)])
    assert raised(processor, 3) == [None, None, None]


def test_the_second_runner_names_the_slots_in_each_row(processor_class):
    def batch(*slots):
        return SimpleNamespace(idx_mapping_np=np.array(slots, dtype=np.int32))

    processor = processor_class(None, SimpleNamespace(device=CPU))
    assert processor.add_request(4, params(5))
    assert not processor.add_request(2, params())
    assert processor.add_request(7, params(6))
    assert raised(processor, 3, batch(2, 4, 7)) == [None, 5, 6]
    assert raised(processor, 3, batch(7, 2, 4)) == [6, None, 5]
    assert raised(processor, 1, batch(2, 4)) == [None]  # what follows the rows is padding
    assert not processor.add_request(4, params())  # the slot is taken by another request
    assert raised(processor, 2, batch(4, 7)) == [None, 6]


def test_it_is_what_each_runner_asks_for(processor_class):
    with other_peoples_warnings():
        from vllm.v1.sample.logits_processor import _load_logitsprocs_by_fqcns
        from vllm.v1.worker.gpu.sample.logits_processor.loader import _load_v2_logitsprocs_by_fqcns

        assert _load_logitsprocs_by_fqcns([PROCESSOR]) == [processor_class]
        assert _load_v2_logitsprocs_by_fqcns([PROCESSOR]) == [processor_class]


# --- where it is loaded -------------------------------------------------------------------------

SHAPE = Shape(30, 9, 3, 64, 134_000_000, 8192, 269_000_000, "bfloat16")


def settings(role="policy", **extra):
    machine = Hardware(4, 16.0, frozenset({"avx2"}))
    return resolve(EngineConfig(extra=extra), machine, Path("somewhere"), SHAPE, role)


def test_it_is_loaded_where_vllm_takes_it():
    assert settings().steers
    assert settings(logits_processors=["a:B"]).arguments["logits_processors"] == ["a:B", PROCESSOR]
    for other in (settings(speculative_config={"method": "ngram"}), settings("reward")):
        assert not other.steers
        assert "logits_processors" not in other.arguments
