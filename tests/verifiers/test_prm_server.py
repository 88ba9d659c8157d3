"""The PRM on servers: a scripted one that fails on demand, and vLLM's own."""

from __future__ import annotations

import math

import pytest

from tests.servers.fixtures import closed_port
from tests.verifiers.answers import STEPS, SUM, answer, surroundings
from tests.verifiers.pooling_server import MODEL, PoolingServer, value
from tests.verifiers.real import pooling_server as pooling_server
from tts.errors import (
    BackendError,
    ConfigError,
    ContextTooLong,
    EndpointDown,
    ModelNotFound,
    VerifierError,
)
from tts.types import Usage
from tts.verifiers import PRM

WHOLE = answer(*STEPS)


@pytest.fixture
def server():
    with PoolingServer() as server:
        yield server


def connect(server, **how):
    settings = {"format": "mini", "tokenizer": "mini-reasoner", "retries": 2, **how}
    return PRM(MODEL, server=server.url, **settings)


async def judged(prm, *trajectories):
    """Scores, and what was charged."""
    ctx = surroundings()
    async with prm:
        scores = await prm.score(SUM, trajectories, ctx)
    return [score.raw for score in scores], ctx.backend.account.usage


def probability(logit):
    return 1 / (1 + math.exp(-logit))


# --- values and accounts ------------------------------------------------------------------------


async def test_scores_and_charges_are_those_of_all_tokens(server, mini_text):
    prm = connect(server, aggregation="min")
    ids = mini_text.encode(SUM, WHOLE)
    (found,), usage = await judged(prm, WHOLE)
    ends = [token for token in ids[16:] if token == mini_text.token_id("\n\n")]
    assert found == pytest.approx(min(probability(value(t)) for t in {*ends, ids[-1]}), abs=1e-6)
    assert server.asked[-1] == ids
    assert usage.verifier_tokens == len(ids)
    assert usage.flops == prm._source.model.flops(0, len(ids)) > 0


async def test_what_was_read_before_is_not_sent_again(server):
    prm = connect(server)
    await judged(prm, WHOLE)
    sent = len(server.asked)
    await judged(prm, WHOLE)
    assert len(server.asked) == sent


async def test_no_more_requests_at_once_than_allowed(server):
    prm = connect(server, in_flight=3)
    many = [answer(f"{n}") for n in range(100, 140)]
    found, _ = await judged(prm, *many)
    assert len(found) == 40
    assert server.peak <= 3


async def test_an_outcome_model_gives_rewards(mini_text):
    with PoolingServer("sequence") as server:
        prm = connect(server, format="auto")
        (found,), _ = await judged(prm, WHOLE)
    assert not prm.partial
    assert found == pytest.approx(value(server.asked[-1][-1]), abs=1e-6)


def test_the_identity_is_not_the_port(server):
    with PoolingServer() as other:
        assert connect(server).identity() == connect(other).identity()
        assert connect(server, aggregation="min").identity() != connect(other).identity()


# --- faults -------------------------------------------------------------------------------------


async def test_a_passing_fault_is_asked_again(server):
    prm = connect(server)
    expected, _ = await judged(connect(server), WHOLE)
    server.acts.extend([500, "hang up"])
    found, usage = await judged(prm, WHOLE)
    assert found == expected
    assert usage.verifier_tokens == len(server.asked[-1])  # charged once


@pytest.mark.parametrize(
    ("acts", "error", "said"),
    [
        ([500] * 3, BackendError, "HTTP 500"),
        ([429] * 3, BackendError, "HTTP 429"),
        (["hang up"] * 3, EndpointDown, "Nothing answers"),
        ([401], EndpointDown, r"refuses the key in \$TOY_KEY"),
        ([400], VerifierError, "HTTP 400"),
        (["{"], VerifierError, "no JSON"),
        (['{"data": []}'], VerifierError, "something else than values"),
        (['{"data": [{"data": [[0, 1]]}]}'], VerifierError, "gave 1 rows for"),
        (['{"data": [{"data": [[0, 1, 2]]}]}'], VerifierError, "something else than values"),
    ],
)
async def test_a_fault_is_an_error_and_no_score(server, monkeypatch, acts, error, said):
    monkeypatch.setenv("TOY_KEY", "very-secret")
    prm = connect(server, api_key_env="TOY_KEY")
    assert server.keys[-1] == "Bearer very-secret"
    server.acts.extend(acts)
    with pytest.raises(error, match=said) as caught:
        await judged(prm, WHOLE)
    assert type(caught.value) is error
    assert "very-secret" not in str(caught.value)


async def test_values_that_are_no_numbers_are_an_error(server, mini_text):
    prm = connect(server)
    length = len(mini_text.encode(SUM, WHOLE))
    rows = ", ".join(["[0, NaN]"] * length)
    server.acts.append(f'{{"data": [{{"data": [{rows}]}}]}}')
    with pytest.raises(VerifierError, match="no number"):
        await judged(prm, WHOLE)


async def test_a_server_that_goes_away_is_one_sentence():
    with PoolingServer() as server:
        prm = connect(server, retries=0)
    with pytest.raises(EndpointDown, match=r"Nothing answers at http://127.* any more"):
        await judged(prm, WHOLE)


async def test_a_text_that_is_too_long_is_not_sent():
    with PoolingServer(context=20) as server:
        prm = connect(server)
        sent, ctx = len(server.asked), surroundings()
        with pytest.raises(ContextTooLong, match="which takes 20"):
            await prm.score(SUM, [WHOLE], ctx)
        assert (len(server.asked), ctx.backend.account.usage) == (sent, Usage())


# --- refusals -----------------------------------------------------------------------------------


def refusal(**how):
    with pytest.raises(ConfigError) as caught:
        PRM(**{"model": MODEL, "format": "mini", "tokenizer": "mini-reasoner", "retries": 0, **how})
    return str(caught.value)


def test_what_cannot_work_is_refused_when_it_is_made(server):
    nobody = f"http://127.0.0.1:{closed_port()}/v1"
    assert "nothing answers at http://127" in refusal(server=nobody)
    assert "no address of the form" in refusal(server="127.0.0.1:8000")
    assert "no address of the form" in refusal(server="http://me:pass@127.0.0.1:8000/v1")
    assert "no name of an environment variable" in refusal(server=server.url, api_key_env="sk-1")
    assert "timeout_seconds is 0" in refusal(server=server.url, timeout_seconds=0)
    assert "retries is -1" in refusal(server=server.url, retries=-1)
    assert "cannot read" in refusal(server=server.url, format="skywork")
    assert "is not on this machine" in refusal(server=server.url, tokenizer="./nowhere")
    with pytest.raises(ModelNotFound, match=rf"'other'\..* It serves {MODEL}"):
        connect(server, served_name="other")
    with PoolingServer("none") as plain:
        assert "--runner pooling" in refusal(server=plain.url)
    with PoolingServer("steps") as stepwise:
        assert "ends of steps only" in refusal(server=stepwise.url)
    server.acts.append("{}")
    assert "is no vLLM server" in refusal(server=server.url)


# --- vLLM's own ---------------------------------------------------------------------------------


@pytest.mark.engine
@pytest.mark.apart
@pytest.mark.slow
async def test_vllms_own_server_gives_the_scores_of_transformers(pooling_server, mini_text):
    from tests.engine.checkpoints import forward

    prm = PRM("toy", server=pooling_server.url, format="mini", aggregation="min")
    chains = [answer(*STEPS[:end]) for end in range(5)]
    found, usage = await judged(prm, *chains)
    read = [prm._encoded(SUM, chain) for chain in chains]
    expected = []
    for encoded in read:
        logits = forward(pooling_server.root, "LlamaForTokenClassification", list(encoded.ids))
        good = logits.softmax(-1)[:, 1].tolist()
        expected.append(min(good[place] for place in encoded.places))
    assert found == pytest.approx(expected, abs=2e-5)
    assert usage.verifier_tokens == sum(len(encoded.ids) for encoded in read)
    assert prm._source.model.context == 256
