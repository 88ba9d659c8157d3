"""What reward models are shown, and where they are read: against ids written by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.verifiers.answers import STEPS, SUM, answer
from tts.errors import ConfigError, VerifierError
from tts.types import Message, Problem, Trajectory
from tts.verifiers._prm.aggregation import aggregate, check_aggregation, needed
from tts.verifiers._prm.choice import FORMATS, choose
from tts.verifiers._prm.format import Encoded, steps_of
from tts.verifiers._prm.memory import Memory, keys_of

ASK = Problem("p", messages=(Message("system", "be brief"), Message("user", "1+1=")))
TWO = answer("2\n\n", "4")


def shown(format, problem, trajectory, text, whole=False):
    """The text that a model reads, and what of it ends at each place."""
    encoded = FORMATS[format].encode(problem, trajectory, text, whole)
    spelled = text._tokenizer.convert_ids_to_tokens
    return (
        "".join(spelled(list(encoded.ids))),
        ["".join(spelled(list(encoded.ids[: place + 1]))) for place in encoded.places],
    )


# --- steps --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("", [""]),
        ("\n\n", [""]),
        ("a", ["a"]),
        ("a\n\n", ["a"]),
        ("a\n\nb", ["a", "b"]),
        ("a \n\n\n\n b\nc\n\n", ["a", "b\nc"]),
    ],
)
def test_steps_end_with_a_blank_line(text, steps):
    assert steps_of(text, whole=False) == steps


def test_the_whole_answer_can_count_as_one_step():
    assert steps_of("a\n\nb\n\n", whole=True) == ["a\n\nb"]


# --- formats ------------------------------------------------------------------------------------


def test_mini_reads_the_policys_own_tokens_at_the_ends_of_steps(mini_text):
    chain = answer(*STEPS, text=mini_text)
    encoded = FORMATS["mini"].encode(SUM, chain, mini_text, False)
    ids = mini_text.encode(SUM, chain)
    end = mini_text.token_id("\n\n")
    assert list(encoded.ids) == ids
    assert [ids[place] for place in encoded.places] == [end, end, end, mini_text.token_id("}")]
    assert encoded.places[-1] == len(ids) - 1


def test_mini_reads_the_last_token_of_anything(mini_text):
    prompt = mini_text.encode(SUM, Trajectory.root())
    empty = FORMATS["mini"].encode(SUM, Trajectory.root(), mini_text, False)
    assert empty == Encoded(tuple(prompt), (len(prompt) - 1,))
    middle = FORMATS["mini"].encode(SUM, answer("6*8="), mini_text, False)
    assert middle.places == (len(prompt) + 3,)
    step = FORMATS["mini"].encode(SUM, answer("6*8=48\n\n"), mini_text, False)
    assert step.places == (len(prompt) + 6,)
    whole = FORMATS["mini"].encode(SUM, answer(*STEPS), mini_text, True)
    assert whole.places == (len(whole.ids) - 1,)


def test_mini_does_not_take_a_blank_line_of_the_question_for_a_step(mini_text):
    problem = Problem.chat("p", "1+\n\n1=")
    assert len(FORMATS["mini"].encode(problem, answer("2"), mini_text, False).places) == 1


def test_mini_keeps_ids_that_no_text_would_give(mini_text):
    odd = answer("66", text=mini_text)
    ids = (*odd.segment.tokens[:-1], 7)
    node = Trajectory.root().extend(
        type(odd.segment)("66", ids, mini_text.identity), child=0, clock=0
    )
    assert FORMATS["mini"].encode(SUM, node, mini_text, False).ids[-2:] == ids


def test_qwen_reads_a_mark_after_every_step(chat_text):
    system = "<system>Please reason step by step, and put your final answer within \\boxed{}.<end>"
    text, read = shown("qwen", ASK, TWO, chat_text)
    assert text == system + "<user>1+1=<end><assistant>2<extra_0>4<extra_0>"
    assert read == [text.removesuffix("4<extra_0>"), text]
    text, read = shown("qwen", ASK, TWO, chat_text, whole=True)
    assert text.endswith("<assistant>2\n\n4<extra_0>")
    assert read == [text]


def test_math_shepherd_reads_a_mark_after_every_line(word_text):
    text, read = shown("math_shepherd", ASK, TWO, word_text)
    assert text == "▁1+1=▁2▁ки\n4▁ки"
    assert read == ["▁1+1=▁2▁ки", text]


def test_rlhflow_reads_where_the_assistant_is_about_to_speak(chat_text):
    text, read = shown("rlhflow", ASK, TWO, chat_text)
    assert text == "<user>1+1= 2<end><assistant>+<end><user>4<end><assistant>"
    assert read == ["<user>1+1= 2<end><assistant>", text]
    text, _ = shown("rlhflow", ASK, Trajectory.root(), chat_text)
    assert text == "<user>1+1= <end><assistant>"


def test_skywork_reads_every_line_end(chat_text):
    text, read = shown("skywork", ASK, TWO, chat_text)
    assert text == "<bos>1+1=\n2\n\n4\n"
    assert read == ["<bos>1+1=\n2\n", "<bos>1+1=\n2\n\n", text]
    assert shown("skywork", ASK, TWO, chat_text, whole=True) == (text, [text])


def test_an_outcome_model_reads_the_whole_conversation(chat_text):
    text, read = shown("outcome", ASK, TWO, chat_text)
    assert text == "<system>be brief<end><user>1+1=<end><assistant>2\n\n4<end>"
    assert read == [text]


@pytest.mark.parametrize("format", ["qwen", "rlhflow", "skywork", "outcome"])
def test_a_prompt_without_messages_is_what_the_user_says(format, chat_text):
    plain = Problem("p", "1+1=")
    asked = Problem.chat("p", "1+1=")
    assert shown(format, plain, TWO, chat_text) == shown(format, asked, TWO, chat_text)


def test_an_answer_that_holds_the_mark_is_refused_rather_than_misread(chat_text):
    with pytest.raises(VerifierError, match=r"set 1 times .* stands there 2 times"):
        FORMATS["qwen"].encode(ASK, answer("2<extra_0>"), chat_text, False)


def test_what_is_too_long_keeps_its_end():
    encoded = Encoded(tuple(range(10)), (2, 5, 9))
    assert encoded.end(10) == encoded.end(99) == encoded
    assert encoded.end(6) == Encoded((4, 5, 6, 7, 8, 9), (1, 5))
    assert encoded.end(1) == Encoded((9,), (0,))


# --- choosing -----------------------------------------------------------------------------------


def test_names_tell_the_format(chat_text, word_text, mini_text):
    assert choose("auto", "Qwen/Qwen2.5-Math-PRM-7B", "token", 2, chat_text).name == "qwen"
    assert choose("auto", "renamed", "token", 2, chat_text).name == "qwen"
    assert choose("auto", "mini-prm", "token", 2, mini_text).name == "mini"
    shepherd = "peiyi9979/math-shepherd-mistral-7b-prm"
    assert choose("auto", shepherd, "language", 0, word_text).name == "math_shepherd"
    flow = "RLHFlow/Llama3.1-8B-PRM-Deepseek-Data"
    assert choose("auto", flow, "language", 0, chat_text).name == "rlhflow"
    skywork = "/models/Skywork-o1-Open-PRM-Qwen-2.5-7B"
    assert choose("auto", skywork, "token", 1, chat_text).name == "skywork"
    assert choose("auto", "whatever", "sequence", 1, chat_text).name == "outcome"


def refusal(*arguments):
    with pytest.raises(ConfigError) as caught:
        choose(*arguments)
    return str(caught.value)


def test_what_does_not_fit_is_refused_in_words(mini_text, chat_text, word_text):
    assert "does not tell how" in refusal("auto", "my-prm", "token", 2, mini_text)
    assert "one of mini, qwen" in refusal("chat", "m", "token", 2, mini_text)
    said = refusal("mini", "m", "token", 5, mini_text)
    assert said.startswith("The model m gives 5 value(s) for each token")
    assert "plain language model" in refusal("qwen", "m", "language", 0, chat_text)
    assert "could: math_shepherd, rlhflow" in refusal("qwen", "m", "language", 0, chat_text)
    assert "no token '<extra_0>'" in refusal("qwen", "m", "token", 2, mini_text)
    assert r"no token '\n\n'" in refusal("mini", "m", "token", 2, chat_text)
    assert "no token 'ки'" in refusal("math_shepherd", "m", "language", 0, mini_text)
    assert "no chat template" in refusal("outcome", "m", "sequence", 1, word_text)


def test_a_template_that_rewrites_earlier_turns_is_refused(chat_text, monkeypatch):
    last = "<user>{{ messages[-1]['content'] }}{{ messages | length }}"
    monkeypatch.setattr(chat_text._tokenizer, "chat_template", last)
    assert "rewrites earlier turns" in refusal("rlhflow", "m", "language", 0, chat_text)


# --- aggregation --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "score"),
    [("prod", 0.09), ("min", 0.2), ("last", 0.5), ("model", 0.5), ("mean", 1.6 / 3)],
)
def test_aggregations_by_hand(name, score):
    assert aggregate([0.9, 0.2, 0.5], name) == pytest.approx(score)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_an_aggregate_of_probabilities_is_one(scores):
    for name in ("prod", "min", "last", "mean", "model"):
        assert 0 <= aggregate(scores, name) <= 1
    assert aggregate(scores, "prod") <= aggregate(scores, "min") <= aggregate(scores, "mean") + 1e-9


def test_only_what_is_looked_at_is_read():
    encoded = Encoded(tuple(range(10)), (2, 5, 9))
    assert needed(encoded, "last").places == needed(encoded, "model").places == (9,)
    assert needed(encoded, "min") == encoded


def test_formats_aggregate_as_their_authors_do():
    published = {name: check_aggregation(None, format) for name, format in FORMATS.items()}
    assert published == {
        "mini": "last",
        "qwen": "prod",
        "math_shepherd": "min",
        "rlhflow": "mean",
        "skywork": "last",
        "outcome": "model",
    }
    with pytest.raises(ConfigError, match="one of prod, min, last, mean, model"):
        check_aggregation("max", FORMATS["qwen"])
    with pytest.raises(ConfigError, match="scores no steps"):
        check_aggregation("min", FORMATS["outcome"])


# --- memory -------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 1 << 20), min_size=1, max_size=30), st.data())
def test_a_key_is_that_of_the_prefix_alone(ids, data):
    places = sorted(data.draw(st.sets(st.integers(0, len(ids) - 1), min_size=1)))
    alone = [keys_of(ids[: place + 1], [place])[0] for place in places]
    assert keys_of(ids, places) == alone
    assert len(set(alone)) == len(alone)


def test_the_least_recently_used_score_is_forgotten():
    memory = Memory(2)
    memory.put(b"a", 0.0)
    memory.put(b"b", 0.5)
    assert memory.get(b"a") == 0.0
    memory.put(b"c", 1.0)
    assert (memory.get(b"a"), memory.get(b"b"), len(memory)) == (0.0, None, 2)


def test_sums_of_rounding_errors_stay_probabilities():
    assert aggregate([1.0] * 7, "mean") == 1.0
    assert math.isfinite(aggregate([1e-300] * 3, "prod"))
