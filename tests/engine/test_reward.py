"""Reward models on the real engine, held against transformers' own forward pass."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal

import numpy as np
import psutil
import pytest
import torch

from tests.engine.checkpoints import forward
from tests.engine_fixtures import other_peoples_warnings
from tts.engine import RewardEngine
from tts.engine.models import BUNDLED
from tts.errors import ConfigError, ContextTooLong, EngineDead, ModelNotFound

pytestmark = [pytest.mark.engine, pytest.mark.slow]

TOKEN, SEQUENCE = "LlamaForTokenClassification", "LlamaForSequenceClassification"


def text(length: int, seed: int = 0) -> list[int]:
    return [2, *random.Random(seed).choices(range(6, 24), k=length - 1)]


@pytest.fixture
def engines(reward_engines):
    return reward_engines


@pytest.fixture
def by_token(engines):
    return engines["token"]


async def test_rows_are_the_raw_logits_of_every_token(by_token):
    for seed, length in enumerate((1, 2, 31, 33, 256)):
        ids = text(length, seed)
        rows = await by_token.rows(ids)
        assert rows.values.shape == (length, by_token.labels) == (length, 2)
        assert rows.values.dtype == np.float32
        assert rows.cached_tokens == 0
        np.testing.assert_allclose(
            rows.values, forward(by_token.path, TOKEN, ids).numpy(), atol=1e-3
        )


async def test_reused_rows_are_the_last_ones(by_token):
    ids = text(100, seed=7)
    whole = (await by_token.rows(ids)).values
    again = await by_token.rows(ids, reuse=True)
    assert again.cached_tokens == 96
    np.testing.assert_allclose(again.values, whole[96:], atol=1e-4)
    longer = await by_token.rows([*ids, *text(20, seed=8)], reuse=True)
    assert len(longer.values) + longer.cached_tokens == 120
    assert (await by_token.rows(ids)).cached_tokens == 0


async def test_a_batch_says_what_single_calls_say(by_token):
    texts = [text(length, length) for length in range(5, 200, 6)]
    alone = [(await by_token.rows(ids)).values for ids in texts]
    together = await asyncio.gather(*(by_token.rows(ids) for ids in texts))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(other.values, one, atol=1e-4)


async def test_who_is_cancelled_leaves_nothing_in_the_engine(by_token):
    flights = [asyncio.create_task(by_token.rows(text(250, seed))) for seed in range(64)]
    while not by_token._engine._live:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0)
    for flight in flights:
        flight.cancel()
    outcomes = await asyncio.gather(*flights, return_exceptions=True)
    assert any(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
    assert not by_token._engine._live
    assert by_token._engine._llm.output_processor.get_num_unfinished_requests() == 0
    assert len((await by_token.rows(text(9))).values) == 9


async def test_a_sequence_has_one_row_that_of_its_last_token(engines):
    engine = engines["sequence"]
    for seed in (0, 0, 1):  # the second time from the cache
        ids = text(70, seed)
        rows = await engine.rows(ids)
        assert rows.values.shape == (1, 1)
        np.testing.assert_allclose(
            rows.values[0], forward(engine.path, SEQUENCE, ids).numpy(), atol=1e-3
        )


async def test_a_language_model_says_what_may_follow(engines):
    engine = engines["language"]
    ids, tokens = text(70), [7, 3, 31, 7]
    logits = forward(BUNDLED / "mini-reasoner", "LlamaForCausalLM", ids)[-1]
    expected = torch.log_softmax(logits, -1)[tokens].tolist()
    found = [await engine.following(ids, tokens) for _ in range(2)]
    assert found[0].logprobs == pytest.approx(expected, abs=1e-3)
    assert found[1].logprobs == pytest.approx(expected, abs=1e-3)
    assert found[1].cached_tokens == 64


@pytest.mark.parametrize(
    ("head", "ids", "kind", "sentence"),
    [
        ("token", [], ConfigError, "There is no token to judge."),
        ("token", [5, 32], ConfigError, "A token id lies outside the vocabulary of"),
        ("token", [-1], ConfigError, "A token id lies outside the vocabulary of"),
        ("token", [5] * 257, ContextTooLong, "A text of 257 tokens is too long for"),
        ("language", [5], ConfigError, "is a language model, and has no rows of values"),
    ],
)
async def test_what_could_kill_the_engine_is_not_sent(engines, head, ids, kind, sentence):
    with pytest.raises(kind, match=sentence):
        await engines[head].rows(ids)


@pytest.mark.parametrize(
    ("head", "ids", "tokens", "sentence"),
    [
        ("token", [5], [5], "is no language model: it names no next token"),
        ("language", [5] * 256, [5], "A text of 256 tokens is too long for mini-reasoner: its eng"),
        ("language", [5], [], "0 tokens were asked about"),
        ("language", [5], [32], "A token id lies outside the vocabulary of mini-reasoner"),
    ],
)
async def test_questions_that_are_not_asked(engines, head, ids, tokens, sentence):
    with pytest.raises(ConfigError, match=sentence):
        await engines[head].following(ids, tokens)


def test_the_identity_is_the_checkpoint_and_not_the_sizes(by_token):
    identity = by_token.identity()
    assert json.loads(json.dumps(identity)) == identity
    larger = RewardEngine(str(by_token.path), {"max_num_seqs": 7, "kv_cache_gib": 0.2})
    assert larger.identity() == identity
    assert RewardEngine("mini-reasoner").identity()["weights"] != identity["weights"]


def test_a_model_without_a_head_is_refused_before_anything_starts(tmp_path):
    (tmp_path / "config.json").write_text(
        (BUNDLED / "mini-reasoner" / "config.json").read_text().replace("LlamaForCausalLM", TOKEN)
    )
    (tmp_path / "model.safetensors").write_bytes(
        (BUNDLED / "mini-reasoner" / "model.safetensors").read_bytes()
    )
    with pytest.raises(ModelNotFound, match="hold no head"):
        RewardEngine(str(tmp_path))


# The last one of this engine, as it ends it; the others are needed elsewhere.
async def test_a_dead_engine_is_an_error_to_all_in_flight(engines):
    engine = engines["sequence"]
    process = _process(engine)
    with other_peoples_warnings():
        flights = [asyncio.create_task(engine.rows(text(250, seed))) for seed in range(64)]
        while not engine._engine._live:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0)
        os.kill(process, signal.SIGKILL)
        async with asyncio.timeout(30):
            outcomes = await asyncio.gather(*flights, return_exceptions=True)
        await engine.aclose()
    assert isinstance(outcomes[-1], EngineDead)
    assert outcomes[-1].retryable
    assert all(isinstance(o, EngineDead) or len(o.values) == 1 for o in outcomes)


def _process(engine) -> int:
    """Of an engine's core."""
    manager = engine._engine._llm.engine_core.resources.engine_manager
    (process,) = manager.processes
    number = int(process.pid)
    assert psutil.pid_exists(number)
    return number
