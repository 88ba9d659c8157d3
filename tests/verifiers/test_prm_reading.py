"""Reading with a prefix cache gives what reading without one gives, whatever the cache forgets.

Against a model in Python: its cache keeps whole blocks of tokens, leaves out their rows as vLLM
does, and loses blocks at random. The real engine is asked in `test_prm_engine`.
"""

from __future__ import annotations

import asyncio
import math
import random
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts.engine import Following, Rows
from tts.errors import VerifierError
from tts.verifiers._prm.format import Encoded
from tts.verifiers._prm.reading import Reader
from tts.verifiers._prm.together import together

BLOCK = 4
GOOD, BAD = 1, 2


def logit(prefix):
    """What the model thinks of a prefix."""
    return random.Random(str(list(prefix))).uniform(-3, 3)


def probability(prefix):
    return 1 / (1 + math.exp(-logit(prefix)))


class Model:
    """A reward model with a prefix cache.

    Attributes:
        forgets: Chance that a block is lost between two requests.
        computed: Tokens that were computed.
    """

    def __init__(self, seed=0, forgets=0.0):
        self.model = SimpleNamespace(name="toy")
        self.forgets, self.computed, self.cache = forgets, 0, set()
        self.rng = random.Random(seed)

    def _compute(self, ids, reuse=True):
        ids = tuple(ids)
        self.cache = {block for block in self.cache if self.rng.random() >= self.forgets}
        cached = 0
        while reuse and cached + BLOCK < len(ids) and ids[: cached + BLOCK] in self.cache:
            cached += BLOCK
        self.cache |= {ids[:end] for end in range(BLOCK, len(ids) + 1, BLOCK)}
        self.computed += len(ids) - cached
        return cached

    async def rows(self, ids, *, reuse=False):
        cached = self._compute(ids, reuse)
        await asyncio.sleep(0)
        ends = range(cached + 1, len(ids) + 1)
        return Rows([[1.0, 1.0 + logit(ids[:end])] for end in ends], cached)

    async def following(self, ids, tokens):
        cached = self._compute(ids)
        await asyncio.sleep(0)
        given = {GOOD: logit(ids), BAD: 0.0}
        return Following(tuple(given[token] for token in tokens), cached)


def truth(encoded):
    return [probability(encoded.ids[: place + 1]) for place in encoded.places]


@st.composite
def chains(draw):
    """Several rounds of answers side by side: prefixes of few chains, read at the same marks."""
    stems = [draw(st.lists(st.integers(0, 1), min_size=1, max_size=24)) for _ in range(2)]
    marks = draw(st.sets(st.integers(0, 23)))
    one = st.tuples(st.integers(0, 1), st.integers(1, 24))
    rounds = draw(st.lists(st.lists(one, min_size=1, max_size=5), min_size=1, max_size=5))
    found = []
    for picks in rounds:
        cut = [stems[which][:end] for which, end in picks]
        found.append([Encoded.of(c, sorted({*marks, len(c) - 1} & {*range(len(c))})) for c in cut])
    return found


@given(chains(), st.sampled_from([0.0, 0.3, 1.0]), st.integers(0, 9), st.booleans())
async def test_scores_do_not_depend_on_the_cache(rounds, forgets, seed, words):
    model = Model(seed, forgets)
    reader = Reader(model, (GOOD, BAD) if words else None, True, slots=2)
    for answers in rounds:
        read = await together([reader.read(answer) for answer in answers])
        for answer, found in zip(answers, read, strict=True):
            assert found == pytest.approx(truth(answer))


@pytest.mark.parametrize("words", [False, True])
async def test_a_growing_chain_is_computed_once(words):
    model = Model()
    reader = Reader(model, (GOOD, BAD) if words else None, True, slots=8)
    ids = list(range(60))
    for end in range(6, 61, 6):
        places = range(5, end, 6)
        await reader.read(Encoded.of(ids[:end], list(places)))
    assert model.computed <= 60 + 10 * BLOCK
    assert (reader.stats.requests, reader.stats.repeated) == (10, 0)


async def test_equal_beginnings_side_by_side_are_not_read_twice():
    model = Model()
    reader = Reader(model, None, True, slots=8)
    same = list(range(20))
    answers = [Encoded.of([*same, last], [9, 19, 20]) for last in range(100, 106)]
    read = await together([reader.read(answer) for answer in answers])
    assert read == [pytest.approx(truth(a)) for a in answers]
    assert reader.stats.repeated == 0


async def test_a_score_that_was_forgotten_is_read_again():
    model = Model()
    encoded = Encoded.of(list(range(20)), [3, 19])
    await Reader(model, None, True, slots=1).read(encoded)
    reader = Reader(model, None, True, slots=1)
    found = await reader.read(encoded)
    assert found == pytest.approx(truth(encoded))
    assert (reader.stats.repeated, reader.stats.requests) == (1, 2)


async def test_rewards_are_left_as_they_are():
    class Whole(Model):
        async def rows(self, ids, *, reuse=False):
            return Rows([[-7.5]], 0)

    found = await Reader(Whole(), None, False, slots=1).read(Encoded.of([1, 2, 3], [2]))
    assert found == (-7.5,)


async def test_what_is_no_number_is_no_score():
    class Broken(Model):
        async def rows(self, ids, *, reuse=False):
            return Rows([[0.0, math.nan]] * len(ids), 0)

    reader = Reader(Broken(), None, True, slots=1)
    for _ in range(2):  # nor is it remembered
        with pytest.raises(VerifierError, match="toy gave what is no number"):
            await reader.read(Encoded.of([1, 2], [1]))


async def test_extreme_logits_stay_probabilities():
    class Sure(Model):
        async def rows(self, ids, *, reuse=False):
            return Rows([[0.0, 9e9], [9e9, 0.0]], 0)

    found = await Reader(Sure(), None, True, slots=1).read(Encoded.of([1, 2], [0, 1]))
    assert found == (1.0, 0.0)


async def test_the_first_failure_is_raised_as_it_is_and_ends_the_others():
    ended = []

    async def fails():
        raise VerifierError("no")

    async def waits():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    with pytest.raises(VerifierError, match="no"):
        await together([waits(), fails(), waits()])
    assert ended == [True, True]
