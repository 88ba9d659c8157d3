"""First-token surprisal and perplexity importance, against hand-worked cases."""

from __future__ import annotations

import math
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tts
from tests.analysis.thoughts import CORRECTED, chain, node, thought
from tts.analysis import (
    Reader,
    ends_by,
    functional,
    importance,
    pruned,
    pruning_order,
    surprisals,
)
from tts.backends.vllm import VLLMBackend
from tts.engine.text import Text, tokenizer_identity
from tts.errors import CapabilityMissing, VerifierError
from tts.types import Problem, Segment

PROBLEM = Problem("p", prompt="6*8=")


def spelt(*words):
    """A segment of one token a word, with their log-probabilities -0, -1, -2, ..."""
    return Segment("".join(words), logprobs=tuple(-float(n) for n in range(len(words)))), words


def test_the_surprisal_of_a_step_is_that_of_the_token_it_begins_in():
    segment, words = spelt("<think>", "6*8", "=48", "\n\n", "Wait", " 6*8", "=48", "\n\nso", " 48")
    found = chain(segment.text, "48")
    ends = list(accumulate(len(word) for word in words))
    assert surprisals(found, node(segment), lambda _: ends) == (1.0, 4.0, 7.0)


def test_what_was_injected_has_no_surprisal():
    first, words = spelt("<think>", "6*8", "=48", "\n\n")
    whole = node(first, Segment("Wait ", origin="injected"), spelt("6*8", "=48")[0])
    sizes = {first.text: words, "6*8=48": ("6*8", "=48")}

    def ends(at):
        return list(accumulate(len(word) for word in sizes[at.segment.text]))

    assert surprisals(chain(whole.text, "48"), whole, ends) == (1.0, None)


def test_the_least_surprising_steps_go_first_and_of_equals_the_later():
    values = (2.0, 0.5, None, 0.5, 1.0)
    assert pruning_order(values) == [3, 1, 4, 0]
    assert pruned(values, (1, 1, 1, 1, 1), 3) == (0, 2, 4)
    assert pruned(values, (1, 1, 1, 1, 1), 9) == (0, 1, 2, 3, 4)
    assert pruned(values, (1, 1, 1, 1, 1), 0) == (2,)


@given(st.lists(st.tuples(st.none() | st.floats(0, 20), st.integers(0, 50))), st.integers(0, 200))
def test_what_is_left_fits_or_cannot_be_told(steps, limit):
    values, sizes = [v for v, _ in steps], [s for _, s in steps]
    left = pruned(values, sizes, limit)
    rest = [n for n in left if values[n] is not None]
    assert sum(sizes[n] for n in left) <= limit or not rest
    gone = [values[n] for n in range(len(steps)) if n not in left]
    assert all(value <= values[n] for value in gone for n in rest)


async def test_a_step_is_as_important_as_the_answer_is_less_likely_without_it():
    """The perplexity of a model that copies: 2 if the chain says the answer, and 8 if not."""
    asked = []

    async def perplexity(problem, trajectory, answer):
        asked.append(trajectory.text)
        return 2.0 if f"={answer} " in trajectory.text else 8.0

    found = await importance(PROBLEM, chain(CORRECTED), "48", perplexity, reader=Reader())
    assert found == {2: 4.0}  # the only functional step, which says 48
    assert asked[1] == thought(
        "6*8=58 => 47+58-29", "58-29=29 => 47+29", "48-29=19 => 47+19", "47+19=66"
    )
    every = await importance(
        PROBLEM, chain(CORRECTED), "48", perplexity, reader=Reader(), steps=range(5)
    )
    assert every == {0: 1.0, 1: 1.0, 2: 4.0, 3: 1.0, 4: 1.0}
    assert functional(chain(CORRECTED)) == [2]


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan])
async def test_a_perplexity_is_above_zero(bad):
    async def perplexity(problem, trajectory, answer):
        return bad

    with pytest.raises(VerifierError, match="above 0"):
        await importance(PROBLEM, chain(CORRECTED), "48", perplexity, reader=Reader())


class Spelling:
    """What the bundled backend knows of token ends, without its engine."""

    ends = VLLMBackend.ends

    def __init__(self):
        path = Path(tts.__file__).parent / "models" / "mini-reasoner"
        self.text = Text(path, "mini-reasoner", tokenizer_identity(path))


def test_a_backend_says_where_tokens_end():
    spelling = Spelling()
    said = "47+19=66\n\n\\boxed{66}"
    ids = tuple(spelling.text.ids_of(said))
    logprobs = tuple(-float(number) for number in range(len(ids)))
    whole = node(Segment(said, tokens=ids, logprobs=logprobs))
    found = surprisals(chain(said, "12"), whole, ends_by(spelling, PROBLEM))
    box = ids.index(spelling.text.ids_of("\\boxed{")[0])
    assert found == (0.0, float(box)) and box == 9  # each digit and sign is a token
    with pytest.raises(CapabilityMissing, match="token ids"):
        surprisals(chain(said), node(Segment(said, logprobs=logprobs)), ends_by(spelling, PROBLEM))
