"""The PRM on the real engine: scores against transformers, reuse, accounts, budgets, refusals."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from types import SimpleNamespace

import pytest

import tts
from tests.engine.checkpoints import checkpoint, forward
from tests.verifiers.answers import STEPS, SUM, answer, surroundings
from tts.engine.models import BUNDLED
from tts.errors import BudgetExhausted, ConfigError, ContextTooLong, ModelNotFound, Unsupported
from tts.testing import World, check_verifier
from tts.types import ModelInfo, Problem, Segment, Trajectory, Usage
from tts.verifiers import PRM
from tts.verifiers._prm.choice import FORMATS
from tts.verifiers._prm.together import together

pytestmark = pytest.mark.engine
SMALL = {"max_model_len": 256, "kv_cache_gib": 0.1}
PREFIXES = [answer(*STEPS[:end]) for end in range(len(STEPS) + 1)] + [answer("6*8=4")]


@pytest.fixture(scope="module")
def prm(reward_engines):
    """A random model on its engine, started."""
    return on(reward_engines["token"], "mini")


@pytest.fixture(scope="module")
def talker(reward_engines):
    """A language model whose words + and - are the judgement."""
    return on(reward_engines["language"], "rlhflow")


def on(engine, format):
    """A PRM on an engine that others use as well."""
    prm = PRM(str(engine.path), format=format, engine=SMALL)
    prm._source = prm._reader._source = engine
    return prm


def sharing(prm, aggregation):
    """A PRM on the same engine that aggregates in another way, and remembers nothing yet."""
    other = object.__new__(PRM)
    other.__dict__.update(prm.__dict__)
    other._aggregation = aggregation
    other._reader = type(prm._reader)(prm._source, None, True, 64)
    return other


def truth(checkpoint, ids):
    """Probabilities of a good end at every token, by transformers."""
    return forward(checkpoint, "LlamaForTokenClassification", list(ids)).softmax(-1)[:, 1].tolist()


def encoded(prm, trajectory, problem=SUM):
    return FORMATS["mini"].encode(problem, trajectory, prm._source.text, False)


async def raw(prm, trajectories, ctx=None, problem=SUM):
    scores = await prm.score(problem, trajectories, ctx or surroundings())
    assert {score.scale for score in scores} == {"probability"}
    return [score.raw for score in scores]


# --- scores -------------------------------------------------------------------------------------


async def test_scores_are_those_of_transformers(prm, token_checkpoint):
    found = await raw(prm, PREFIXES)
    expected = [truth(token_checkpoint, encoded(prm, t).ids)[-1] for t in PREFIXES]
    assert found == pytest.approx(expected, abs=2e-5)
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("aggregation", ["prod", "min", "mean"])
async def test_steps_are_aggregated(prm, token_checkpoint, aggregation):
    whole = encoded(prm, PREFIXES[4])
    values = truth(token_checkpoint, whole.ids)
    steps = [values[place] for place in whole.places]
    assert len(steps) == 4
    by_hand = {"prod": 1.0, "min": min(steps), "mean": sum(steps) / 4}
    for step in steps:
        by_hand["prod"] *= step
    (found,) = await raw(sharing(prm, aggregation), PREFIXES[4:5])
    assert found == pytest.approx(by_hand[aggregation], abs=2e-5)


async def test_the_contract_holds(prm):
    await check_verifier(prm, SUM, PREFIXES, surroundings())


async def test_equal_answers_side_by_side_get_equal_scores(prm):
    fresh = sharing(prm, "prod")
    found = await raw(fresh, [PREFIXES[4]] * 12)
    assert found == pytest.approx([found[0]] * 12, abs=1e-6)


async def test_a_cancelled_score_leaves_the_engine_well(prm):
    fresh = sharing(prm, "prod")
    task = asyncio.create_task(raw(fresh, PREFIXES))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(await raw(fresh, PREFIXES)) == len(PREFIXES)


# --- reuse --------------------------------------------------------------------------------------

LONG = [f"{n}*8=48 => 47+48-29\n\n" for n in range(1, 8)]  # more than five blocks of 32 tokens


async def test_a_growing_chain_pays_only_what_is_new(prm, token_checkpoint):
    """The same scores as without a cache, and what a judged ancestor shares is not computed."""
    fresh, ctx, model = sharing(prm, "min"), surroundings(), prm._source.model
    chain, length = Trajectory.root(), 0
    for step in LONG:
        chain = chain.extend(Segment(step), child=0, clock=0)
        before = ctx.backend.account.usage
        (score,) = await fresh.score(SUM, [chain], ctx)
        paid = ctx.backend.account.usage
        whole = encoded(prm, chain)
        values = truth(token_checkpoint, whole.ids)
        assert score.raw == pytest.approx(min(values[place] for place in whole.places), abs=2e-5)
        assert paid.verifier_tokens - before.verifier_tokens == len(whole.ids)
        assert paid.flops - before.flops == pytest.approx(model.flops(length, len(whole.ids)))
        chain, length = chain.scored(score), len(whole.ids)
    assert fresh.stats.repeated == 0


async def test_the_accounts_do_not_depend_on_what_the_cache_holds(prm):
    """Each node of a tree is paid once, the prompt too; in every problem anew."""
    stem = answer(*LONG[:2])
    one, other = (stem.extend(Segment(LONG[n]), child=n, clock=0) for n in (2, 3))
    prompt, short, long, wide = (
        len(encoded(prm, t).ids) for t in (Trajectory.root(), stem, one, other)
    )
    apart = Trajectory.root().extend(Segment("48-29=19\n\n"), child=7, clock=0)
    flops = prm._source.model.flops
    expected = [flops(0, long), flops(short, wide), 0.0]
    expected.append(flops(prompt, len(encoded(prm, apart).ids)))
    for fresh in (sharing(prm, "prod"), sharing(prm, "min")):
        ctx, paid = surroundings(), [0.0]
        for trajectory in (one, other, one, apart):
            await fresh.score(SUM, [trajectory], ctx)
            paid.append(ctx.backend.account.usage.flops)
        assert [b - a for a, b in pairwise(paid)] == pytest.approx(expected)


async def test_what_was_read_before_is_not_asked_again(prm):
    fresh, ctx = sharing(prm, "prod"), surroundings()
    first = await raw(fresh, PREFIXES, ctx)
    requests, flops = fresh.stats.requests, ctx.backend.account.usage.flops
    assert await raw(fresh, PREFIXES, ctx) == first
    assert fresh.stats.requests == requests
    assert ctx.backend.account.usage.flops == flops
    tokens = sum(len(encoded(prm, t).ids) for t in PREFIXES)
    assert ctx.backend.account.usage.verifier_tokens == 2 * tokens


async def test_a_forgotten_step_is_read_again(prm, token_checkpoint):
    forgetful, ctx = sharing(prm, "prod"), surroundings()
    chain = answer(*LONG)
    (first,) = await raw(sharing(prm, "prod"), [chain])  # the engine has it in its cache
    (again,) = await raw(forgetful, [chain], ctx)
    assert again == pytest.approx(first, abs=1e-6)
    assert forgetful.stats.repeated == 1
    length = len(encoded(prm, chain).ids)
    assert ctx.backend.account.usage.verifier_tokens == length
    assert ctx.backend.account.usage.flops == prm._source.model.flops(0, length)


# --- accounts -----------------------------------------------------------------------------------


async def solved(prm, **budget):
    """A simulated problem, answered and judged."""
    return await tts.solve(
        Problem("p", prompt="1+1="),
        strategy=tts.BestOfN(n=6),
        backend=World().backend(),
        verifier=prm,
        max_tokens=100,
        budget=tts.Budget(**budget) if budget else None,
    )


async def test_what_is_read_is_what_is_charged(prm):
    result = await solved(sharing(prm, "prod"))
    problem = Problem("p", prompt="1+1=")
    read = [len(encoded(prm, c.trajectory, problem).ids) for c in result.candidates]
    assert result.usage.verifier_calls == len(read) == 6
    assert result.usage.verifier_tokens == sum(read)
    assert all(c.score.scale == "probability" for c in result.candidates)


@pytest.mark.parametrize("limit", ["total_tokens", "flops", "calls"])
async def test_no_budget_is_overspent(prm, limit):
    free = (await solved(prm)).usage
    total = {"total_tokens": free.total_tokens, "flops": free.flops, "calls": 12}[limit]
    judged = set()
    for share in (0.9, 0.5, 0.3, 0.1):
        amount = total * share if limit == "flops" else max(1, int(total * share))
        usage = (await solved(sharing(prm, "min"), **{limit: amount})).usage
        spent = usage.calls + usage.verifier_calls if limit == "calls" else getattr(usage, limit)
        assert spent <= amount * (1 + 1e-9)
        judged.add(usage.verifier_calls)
    assert len(judged) > 1 and max(judged) > 0


async def test_what_cannot_be_paid_is_not_read(prm):
    fresh = sharing(prm, "min")
    length = len(encoded(prm, PREFIXES[4]).ids)
    ctx = surroundings(total_tokens=length - 1)
    with pytest.raises(BudgetExhausted):
        await fresh.score(SUM, PREFIXES[4:5], ctx)
    assert (fresh.stats.requests, ctx.backend.pot.spent) == (0, Usage())
    await fresh.score(SUM, PREFIXES[4:5], surroundings(total_tokens=length))


def test_the_bound_is_exact_for_the_same_tokenizer_and_above_for_others(prm):
    def bound(tokens, tokenizer="another"):
        policy = SimpleNamespace(model=ModelInfo("policy", tokenizer=tokenizer))
        return prm.bound(SUM, tokens, SimpleNamespace(backend=policy))

    model = prm._source.model
    same = bound(50, model.tokenizer)
    assert (same.verifier_calls, same.verifier_tokens) == (1, 50)
    assert same.flops == model.flops(0, 50)
    prompt = len(prm._source.text.encode(SUM, Trajectory.root()))
    assert bound(50).verifier_tokens == prompt + 100
    assert bound(10_000).verifier_tokens == model.context == 256
    costs = [bound(tokens).verifier_tokens for tokens in range(300)]
    assert costs == sorted(costs)


async def test_a_text_that_is_too_long_is_refused_before_anything_is_paid(prm):
    ctx = surroundings()
    with pytest.raises(ContextTooLong, match=r"for .*, which takes 256"):
        await prm.score(SUM, [PREFIXES[0], answer("1" * 300)], ctx)
    assert ctx.backend.account.usage == Usage()


def test_the_identity_tells_settings_that_matter(prm):
    identity = prm.identity()
    assert identity["format"] == "mini" and identity["aggregation"] == "last"
    assert identity != sharing(prm, "min").identity()
    assert identity["model"]["weights"] == prm._source.identity()["weights"]


# --- a language model's words ---------------------------------------------------------------------


def wanted(prm, trajectory):
    """By transformers: P("+") against "-" after each turn of the user's."""
    import torch
    from transformers import AutoModelForCausalLM

    text = prm._source.text
    encoded = FORMATS["rlhflow"].encode(SUM, trajectory, text, False)
    model = AutoModelForCausalLM.from_pretrained(BUNDLED / "mini-reasoner", dtype=torch.float32)
    with torch.no_grad():
        logits = model.eval()(input_ids=torch.tensor([encoded.ids])).logits[0]
    pair = logits[list(encoded.places)][:, [text.token_id("+"), text.token_id("-")]]
    return pair.softmax(-1)[:, 0].tolist(), len(encoded.ids)


async def test_words_are_read_as_transformers_reads_them(talker):
    ctx = surroundings()
    found = await raw(talker, PREFIXES[:5], ctx)
    truths = [wanted(talker, trajectory) for trajectory in PREFIXES[:5]]
    assert found == pytest.approx([sum(s) / len(s) for s, _ in truths], abs=2e-5)
    assert ctx.backend.account.usage.verifier_tokens == sum(length for _, length in truths)
    assert await raw(talker, PREFIXES[:5], ctx) == found


async def test_words_of_a_growing_chain_are_asked_once(talker):
    before = talker.stats.requests
    await raw(talker, [answer(*LONG[:3])])
    assert talker.stats.requests == before + 3
    await raw(talker, [answer(*LONG[:4])])
    assert talker.stats.requests == before + 4


async def test_all_steps_asked_at_once_are_about_one_pass(talker):
    """What makes it fair to charge an answer once: each step finds the one before in the cache."""
    whole = FORMATS["rlhflow"].encode(SUM, answer("1+1=2\n\n", *LONG), talker._source.text, False)
    parts = [whole.ids[: place + 1] for place in whole.places]
    said = await together([talker._source.following(part, [10, 11]) for part in parts])
    computed = sum(len(p) - s.cached_tokens for p, s in zip(parts, said, strict=True))
    assert computed <= len(whole.ids) + 32 * len(parts)
    assert computed < 0.7 * sum(len(part) for part in parts)


# --- refusals -----------------------------------------------------------------------------------


def test_what_cannot_work_is_refused_when_it_is_made(token_checkpoint, tmp_path):
    with pytest.raises(ConfigError, match="does not tell how it wants to be asked"):
        PRM(str(token_checkpoint))
    with pytest.raises(ConfigError, match=r"verifier.aggregation is 'sum'.* one of prod"):
        PRM(str(token_checkpoint), format="mini", aggregation="sum")
    with pytest.raises(ConfigError, match="is a plain language model, which the format mini"):
        PRM("mini-reasoner", format="mini")
    with pytest.raises(ConfigError, match="no token 'ки'"):
        PRM("mini-reasoner", format="math_shepherd")
    with pytest.raises(ConfigError, match=r"in_flight is 0; it must be at least 1"):
        PRM(in_flight=0)
    with pytest.raises(ConfigError, match=r"verifier.tokenizer is for a model on a server"):
        PRM(tokenizer="x")
    with pytest.raises(ConfigError, match="Leave out one of the two"):
        PRM(server="http://127.0.0.1:1/v1", engine={"max_model_len": 100})
    with pytest.raises(ModelNotFound, match="no model named 'mini-pmr'"):
        PRM("mini-pmr")


def test_a_checkpoint_without_values_is_refused(token_checkpoint, tmp_path):
    (tmp_path / "model").symlink_to(token_checkpoint)
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in token_checkpoint.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    config = copy / "config.json"
    config.write_text(config.read_text().replace("ForTokenClassification", "ForMaskedLM"))
    with pytest.raises(Unsupported, match="gives no values"):
        PRM(str(copy), format="mini")


def test_an_outcome_model_judges_whole_answers_only(tmp_path):
    path = checkpoint(tmp_path / "model", "LlamaForSequenceClassification", labels=1)
    prm = PRM(str(path))
    assert (prm.partial, prm._scale) == (False, "reward")
    path = checkpoint(tmp_path / "two", "LlamaForSequenceClassification", labels=2)
    assert PRM(str(path))._scale == "probability"
    assert prm.identity()["aggregation"] == "model"
