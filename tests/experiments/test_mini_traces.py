"""Traces of thinking: what each says, what of it is learned, and how the dose shows in them."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from statistics import mean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.mini.config import Thinking
from experiments.mini.data import encode_traces
from experiments.mini.tokenizer import (
    ALTERNATIVELY,
    END,
    END_OF_THINKING,
    OF_THINKING,
    THINK,
    VOCABULARY,
    WAIT,
    build_tokenizer,
    chat_text,
)
from experiments.mini.traces import slip, trace
from tts.errors import ConfigError
from tts.tasks.mini_problems import LEVELS, LIMIT, generate, parse, places, render

WHOLE = Thinking(dose=1.5, cuts=0.0)
seeds = st.integers(0, 10**9)
levels = st.sampled_from(sorted(LEVELS))
doses = st.sampled_from([0.0, 1.5, 3.0])
many = settings(max_examples=60, deadline=None)


def drawn(level, seed, thinking):
    return trace(generate(level, seed, "train"), thinking, random.Random(seed))


def value(operation):
    left, sign, right = re.fullmatch(r"(\d+)([-+*])(\d+)", operation).groups()
    return {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}[sign](int(left), int(right))


@many
@given(levels, seeds, doses)
def test_a_whole_trace_ends_at_the_answer(level, seed, dose):
    found = drawn(level, seed, replace(WHOLE, dose=dose))
    last = found.pieces[-1]
    assert (str(last.result), last.right, last.left) == (found.answer, True, "")
    assert found.text.endswith(f"\n\n</think>\\boxed{{{found.answer}}}<eos>")
    assert found.answer == generate(level, seed, "train").answer
    assert found.thinking_tokens <= WHOLE.longest


@many
@given(levels, seeds, doses)
def test_a_piece_is_right_where_its_result_is(level, seed, dose):
    for piece in drawn(level, seed, replace(WHOLE, dose=dose)).pieces:
        assert piece.right == (piece.result == value(piece.operation))
        assert 0 <= piece.result < LIMIT


@many
@given(levels, seeds, doses)
def test_each_piece_carries_out_an_operation_of_a_state_before_it(level, seed, dose):
    problem = generate(level, seed, "train")
    states = [parse(problem.prompt)]
    for piece in drawn(level, seed, replace(WHOLE, dose=dose)).pieces:
        opened = states if piece.opening else states[-1:]
        assert any(goes(state, piece) for state in opened), piece
        states.append(parse(piece.left or str(piece.result)))


def goes(state, piece):
    """Whether the piece carries out an operation of the state, whatever it takes for its result."""
    left = parse(piece.left or str(piece.result))
    for at in places(state):
        width = 1 if len(state[at][1]) > 1 else 2
        after = [*state[:at], (state[at][0], (piece.result,)), *state[at + width :]]
        if render(state[at : at + width]) == piece.operation and after == left:
            return True
    return False


@many
@given(levels, seeds, doses)
def test_a_slip_is_looked_at_again_within_two_pieces(level, seed, dose):
    pieces = drawn(level, seed, replace(WHOLE, dose=dose, slips=0.5)).pieces
    for number, piece in enumerate(pieces):
        if not piece.right:
            after = pieces[number + 1 : number + 3]
            again = [p for p in after if p.opening == WAIT and p.operation == piece.operation]
            assert again and again[0].right


@many
@given(levels, seeds)
def test_without_a_dose_only_slips_are_looked_at_again(level, seed):
    pieces = drawn(level, seed, replace(WHOLE, dose=0.0)).pieces
    for number, piece in enumerate(pieces):
        assert piece.opening in ("", WAIT)
        if piece.opening:
            before = pieces[max(0, number - 2) : number]
            assert any(not p.right and p.operation == piece.operation for p in before)


@many
@given(levels, seeds)
def test_without_slips_and_dose_a_trace_is_a_plain_solution(level, seed):
    pieces = drawn(level, seed, replace(WHOLE, dose=0.0, slips=0.0)).pieces
    solution = generate(level, seed, "train").solution
    assert len(pieces) == solution.count("\n\n")
    assert not any(piece.opening for piece in pieces)


@many
@given(levels, seeds)
def test_the_parts_that_do_not_count_are_wrong_results_and_an_end_that_came_early(level, seed):
    thinking = replace(WHOLE, slips=0.4, cuts=0.5)
    found = drawn(level, seed, thinking)
    ignored = [text for text, counts in found.parts() if not counts]
    expected = [str(piece.result) for piece in found.pieces if not piece.right]
    within = [text for text, counts in found.rest if not counts]
    assert ignored == expected + within + [END_OF_THINKING] * found.cut


@many
@given(levels, seeds)
def test_a_cut_trace_is_the_beginning_of_a_whole_one_with_the_answer(level, seed):
    thinking = replace(WHOLE, cuts=1.0)
    cut, whole = drawn(level, seed, thinking), drawn(level, seed, replace(thinking, cuts=0.0))
    thought, end = cut.text.split(END_OF_THINKING)
    assert whole.text.startswith(thought) and cut.cut and not whole.cut
    assert end == f"\\boxed{{{whole.answer}}}" + END


def test_about_as_many_traces_are_cut_and_slips_made_as_is_said():
    found = [drawn(3, seed, WHOLE) for seed in range(300)]
    slips = [not piece.right for each in found for piece in each.pieces]
    operations = sum(slips) / len(slips)
    assert 0.08 < operations < 0.12  # of all pieces, the corrections included
    cut = sum(drawn(3, seed, replace(WHOLE, cuts=0.1)).cut for seed in range(300))
    assert 14 <= cut <= 48


def test_doubts_are_as_many_as_the_dose_says():
    thinking = replace(WHOLE, dose=2.0, rechecks=0.0, changes=0.0, slips=0.0, other_ways=0.0)
    openings = [
        sum(piece.opening == WAIT for piece in drawn(1, seed, thinking).pieces)
        for seed in range(1500)
    ]
    assert abs(mean(openings) - 2.0) < 4 * (6 / 1500) ** 0.5  # a geometric number: variance 6
    assert abs(openings.count(0) / 1500 - 1 / 3) < 0.05


@pytest.mark.parametrize("level", LEVELS)
def test_lengths_grow_with_the_dose(level):
    lengths = [
        mean(drawn(level, seed, replace(WHOLE, dose=dose)).thinking_tokens for seed in range(100))
        for dose in (0.0, 0.5, 1.5, 3.0)
    ]
    assert lengths == sorted(lengths)
    assert lengths[-1] > 1.5 * lengths[0]


def test_the_first_change_of_mind_goes_a_way_that_was_not_gone_if_there_is_one():
    changed = 0
    for seed in range(60):
        problem = generate(4, seed, "train")
        pieces = drawn(4, seed, replace(WHOLE, dose=3.0, slips=0.0)).pieces
        numbers = [n for n, piece in enumerate(pieces) if piece.opening == ALTERNATIVELY]
        if numbers:
            before = pieces[: numbers[0]]
            done = {(piece.operation, piece.left) for piece in before}
            states = [parse(problem.prompt), *(parse(piece.left) for piece in before if piece.left)]
            new = (pieces[numbers[0]].operation, pieces[numbers[0]].left) not in done
            assert new == any(len(places(state)) > 1 for state in states)
            changed += new
    assert changed > 30


def test_the_easiest_problems_have_one_way_and_it_is_gone_again():
    thinking = replace(WHOLE, dose=3.0, slips=0.0, other_ways=1.0)
    pieces = [piece for seed in range(20) for piece in drawn(1, seed, thinking).pieces]
    assert {piece.opening for piece in pieces} >= {"", ALTERNATIVELY}
    assert not any(piece.left for piece in pieces)


@given(st.integers(0, LIMIT - 1), seeds)
def test_a_slip_is_another_number_in_range(right, seed):
    wrong = slip(right, random.Random(seed))
    assert wrong != right and 0 <= wrong < LIMIT


@pytest.mark.parametrize("dose", [-0.1, 5.1, float("nan")])
def test_a_dose_that_is_none_is_refused(dose):
    with pytest.raises(ConfigError, match=r"dose is .*; it must be from 0 to 5"):
        Thinking(dose=dose)


@pytest.mark.parametrize("level", LEVELS)
def test_labels_leave_out_the_prompt_and_what_does_not_count(level):
    tokenizer = build_tokenizer(thinking=True)
    problems = [generate(level, index, "train") for index in range(30)]
    thinking = replace(WHOLE, cuts=0.5, slips=0.4)
    for problem, example in zip(
        problems, encode_traces(problems, tokenizer, thinking, seed=5), strict=True
    ):
        found = trace(problem, thinking, random.Random(f"5/{problem.id}"))
        assert tokenizer.decode(example.ids) == chat_text(problem.prompt) + found.text
        assert tokenizer(chat_text(problem.prompt) + found.text)["input_ids"] == example.ids
        assert tokenizer.decode(example.ids[: example.prompt]) == chat_text(problem.prompt)
        ignored = tokenizer.decode([example.ids[place] for place in example.ignored])
        assert ignored == "".join(text for text, counts in found.parts() if not counts)


def test_a_thinker_has_four_tokens_more():
    tokenizer = build_tokenizer(thinking=True)
    assert len(tokenizer) == len(VOCABULARY) + 4
    assert tokenizer.convert_tokens_to_ids(list(OF_THINKING)) == [32, 33, 34, 35]
    assert tokenizer.convert_tokens_to_ids(list(VOCABULARY)) == list(range(32))
    text = "<think>4+3=7\n\nWait 4+3=7\n\nAlternatively 3\n\n</think>\\boxed{7}"
    assert tokenizer.tokenize(text) == [
        THINK, "4", "+", "3", "=", "7", "\n\n", WAIT, " ", "4", "+", "3", "=", "7", "\n\n",
        ALTERNATIVELY, " ", "3", "\n\n", END_OF_THINKING, "\\boxed{", "7", "}",
    ]  # fmt: skip
