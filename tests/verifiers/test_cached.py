"""The cache says what was said, charges what was charged, and mixes nothing up."""

from __future__ import annotations

import random
import sqlite3
from dataclasses import dataclass, replace

import pytest

from tests.verifiers.answers import surroundings
from tests.verifiers.parts import PROBLEM, Loaded, Says, node, raws
from tts.errors import BudgetExhausted, ConfigError
from tts.evaluation.rescoring import Offline
from tts.tasks import MathAnswers
from tts.testing import check_verifier
from tts.types import Request, Score, Trajectory, Usage
from tts.verifiers import Cached

ANSWERS = [node("a"), node("bb"), node("ccc")]


@dataclass
class Asks:
    """Asks the model of the context; the score is the length of what it says."""

    asked: int = 0
    requires: frozenset = frozenset()
    partial: bool = True

    def identity(self):
        return {"verifier": "asks"}

    def bound(self, problem, tokens, ctx):
        usage = ctx.backend.model.usage(tokens + 100, 0, 20).as_verifier()
        return replace(usage, verifier_calls=1)

    async def score(self, problem, trajectories, ctx):
        return [await self._one(problem, t, ctx) for t in trajectories]

    async def _one(self, problem, trajectory, ctx):
        self.asked += 1
        request = Request(problem, trajectory, max_tokens=20, seed=ctx.rng("ask").getrandbits(30))
        async with ctx.backend.open(request) as stream:
            async for _ in stream:
                pass
        return Score(len(stream.trajectory.text), "reward")


def spent(ctx):
    return ctx.backend.account.usage


async def test_nothing_is_judged_twice_within_a_problem():
    inner, ctx = Says({"a": 0.1, "bb": 0.2, "ccc": 0.3}), surroundings()
    verifier = Cached(inner)
    assert raws(await verifier.score(PROBLEM, ANSWERS[:2], ctx)) == [0.1, 0.2]
    assert raws(await verifier.score(PROBLEM, ANSWERS, ctx)) == [0.1, 0.2, 0.3]
    assert inner.judged == ["a", "bb", "ccc"]
    await verifier.score(PROBLEM, ANSWERS, surroundings())
    assert len(inner.judged) == 6  # another solve, and no file


@pytest.mark.parametrize("make", [lambda: Loaded(up=True), Asks], ids=["work", "asks"])
async def test_what_is_remembered_costs_as_much_as_what_is_judged(make, tmp_path):
    alone, first, second = surroundings(), surroundings(), surroundings()
    expected = await make().score(PROBLEM, ANSWERS, alone)
    verifier = Cached(make(), tmp_path / "scores.sqlite")
    assert await verifier.score(PROBLEM, ANSWERS, first) == expected
    await verifier.aclose()
    refusing = Cached(make(), tmp_path / "scores.sqlite")
    refusing.verifier.score = None  # nobody is asked
    assert await refusing.score(PROBLEM, ANSWERS, second) == expected
    await refusing.aclose()
    assert spent(alone).verifier_tokens == spent(first).verifier_tokens > 0
    assert replace(spent(second), seconds=0) == replace(spent(first), seconds=0)


async def test_a_budget_binds_what_is_remembered_too(tmp_path):
    verifier = Cached(Loaded(up=True), tmp_path / "scores.sqlite")
    await verifier.score(PROBLEM, ANSWERS, surroundings())
    with pytest.raises(BudgetExhausted):
        await verifier.score(PROBLEM, ANSWERS, surroundings(total_tokens=5))
    await verifier.aclose()


async def test_whatever_could_decide_a_score_is_part_of_its_key(tmp_path):
    path, said = tmp_path / "scores.sqlite", {"a": 0.1}
    inner, ctx = Says(said), surroundings()
    verifier, others = Cached(inner, path), surroundings()
    await verifier.score(PROBLEM, [node("a")], ctx)
    cases = [
        (replace(PROBLEM, prompt="other"), node("a"), ctx),
        (replace(PROBLEM, metadata={"level": 2}), node("a"), ctx),
        (PROBLEM, node("a", logprobs=(-0.5,)), ctx),
        (PROBLEM, node("a", finish="length"), ctx),
        (PROBLEM, node("a"), replace(others, seed=1)),
        (PROBLEM, node("a"), replace(others, names=("p", 1))),
        (PROBLEM, node("a"), Offline("p", MathAnswers())),
    ]
    for number, (problem, trajectory, where) in enumerate(cases, 2):
        await verifier.score(problem, [trajectory], where)
        assert len(inner.judged) == number
    other = Cached(Says(said, name="other"), path)
    await other.score(PROBLEM, [node("a")], surroundings())
    assert other.verifier.judged == ["a"]
    await verifier.score(PROBLEM, [node("a")], surroundings())
    assert len(inner.judged) == len(cases) + 1
    await verifier.aclose()
    await other.aclose()


async def test_the_contract_with_a_verifier_that_must_be_started(tmp_path):
    inner = Loaded()
    verifier = Cached(inner, tmp_path / "deep" / "scores.sqlite")
    await check_verifier(verifier, PROBLEM, ANSWERS)
    await check_verifier(verifier, PROBLEM, ANSWERS)
    assert (verifier.partial, verifier.top, verifier.requires) == (False, 5, inner.requires)
    assert verifier.identity() == inner.identity()
    assert verifier.bound(PROBLEM, 9, None) == inner.bound(PROBLEM, 9, None)
    await verifier.aclose()
    await verifier.aclose()
    assert not inner.up


async def test_random_answers_come_back_from_the_file_as_they_went_in(tmp_path):
    rng = random.Random(0)
    said = {str(i): rng.uniform(-1e9, 1e9) for i in range(50)}
    said |= {"tiny": 5e-324, "large": 1.7e308}
    answers = [node(text) for text in said]
    for judged in (len(said), 0):
        verifier = Cached(Says(said, scale="reward"), tmp_path / "scores.sqlite")
        assert raws(await verifier.score(PROBLEM, answers, surroundings())) == list(said.values())
        assert len(verifier.verifier.judged) == judged
        await verifier.aclose()


@pytest.mark.parametrize("content", ["text", "database"])
async def test_a_file_that_is_something_else_is_refused(content, tmp_path):
    path = tmp_path / "mine.sqlite"
    if content == "text":
        path.write_text("not a database, but a text that somebody wants to keep\n" * 50)
    else:
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE mine (x)")
        connection.close()
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"verifier\.path: the file .*mine\.sqlite"):
        await Cached(Says({}), path).start()
    assert path.read_bytes() == before


async def test_an_answer_without_a_word_can_be_remembered():
    inner = Says({"": 0.0})
    verifier, ctx = Cached(inner), surroundings()
    for _ in range(2):
        assert raws(await verifier.score(PROBLEM, [Trajectory.root()], ctx)) == [0.0]
    assert inner.judged == [""]
    assert spent(ctx) == Usage()
