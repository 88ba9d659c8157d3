"""The perplexity of an answer, against closed forms."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tests.analysis.copier import KNOWN, UNKNOWN, Copier
from tests.analysis.thoughts import DOUBTING, chain, node, thought
from tts.analysis import Phrasing, Reader, importance, read_perplexity, usual
from tts.errors import ConfigError
from tts.protocols import Reads
from tts.types import Problem, Usage
from tts.watching import Thinking

PROBLEM = Problem("p", prompt="6*8=")


def test_a_phrasing_leads_to_the_answer_and_closes_it():
    boxed = Phrasing.of("\n\n\\boxed{{answer}}")
    assert (boxed.lead, boxed.given("12")) == ("\n\n\\boxed{", "12}")
    said = Phrasing.of("The answer is {answer}.")
    assert (said.lead, said.given("12")) == ("The answer is", " 12.")  # tokens begin with a space
    bare = Phrasing.of("{answer}")
    assert (bare.lead, bare.given("12")) == ("", "12")


@pytest.mark.parametrize("template", ["The answer.", "{answer} or {answer}", ""])
def test_a_phrasing_has_one_place_for_the_answer(template):
    with pytest.raises(ConfigError, match=r"one \{answer\}"):
        Phrasing.of(template)


@pytest.mark.parametrize(
    ("lead", "closed"),
    [
        ("\\boxed{", "\\boxed{{answer}}"),
        ("So: ", "So: {answer}"),
        ("$\\text{\\boxed{", "$\\text{\\boxed{{answer}}}"),
    ],
)
def test_the_models_own_way_to_state_a_result_is_closed(lead, closed):
    assert usual(Thinking(lead=lead))[0] == closed


async def test_phrasings_are_averaged_and_each_reading_is_charged():
    class Reader(Copier):
        async def read(self, problem, trajectory, given, *, top=0):
            read, usage = await super().read(problem, trajectory, given)
            logprobs = (-1.0, -2.0, -6.0) if given.text == "66}" else (-0.5,) * len(given.text)
            return replace(read, logprobs=logprobs), usage

    reader, costs = Reader(), []
    assert isinstance(reader, Reads)
    phrasings = [Phrasing.of("\\boxed{{answer}}"), Phrasing.of("The answer is {answer}.")]
    perplexity = read_perplexity(reader, phrasings, costs.append)
    found = await perplexity(PROBLEM, node(thought("47+19=66")), "66")
    assert found == pytest.approx(math.exp((3.0 + 0.5) / 2))
    assert [text for _, text in reader.asked] == ["66}", " 66."]
    assert [text.removeprefix(thought("47+19=66")) for text, _ in reader.asked] == [
        "\\boxed{",
        "The answer is",
    ]
    assert sum(costs, Usage()).calls == 2


async def test_a_value_that_stands_twice_makes_neither_step_important():
    perplexity = read_perplexity(Copier(), [Phrasing.of("\\boxed{{answer}}")], lambda _: None)
    doubting, sure = chain(DOUBTING), chain(DOUBTING.replace("Wait 47+19=66\n\n", ""))
    both = await importance(
        PROBLEM, doubting, "66", perplexity, reader=Reader(), steps=range(len(doubting.steps))
    )
    assert both == pytest.approx(dict.fromkeys(range(5), 1.0))
    once = await importance(PROBLEM, sure, "66", perplexity, reader=Reader(), steps=range(4))
    assert once == pytest.approx({0: 1.0, 1: 1.0, 2: 1.0, 3: UNKNOWN / KNOWN})
