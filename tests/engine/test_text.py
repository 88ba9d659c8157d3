"""Text and token ids: pieces that cut characters, stop strings, prompts."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tts.engine.models import BUNDLED
from tts.engine.text import Reader, StopPlan, Text
from tts.errors import ConfigError, ModelNotFound
from tts.types import Message, Problem, Segment, Trajectory

WORDS = ["the", "\u0120the", "\u0120sum", "\u010a\u010a", ".\u010a\u010a"]  # byte-level spelling


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Text:
    """A byte-level tokenizer: every byte is a token, and so are a few words."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {word: number for number, word in enumerate([*letters, *WORDS])}
    merges = [("t", "h"), ("th", "e"), ("\u0120", "the"), ("\u0120", "s"), ("\u0120s", "u")]
    merges += [("\u0120su", "m"), ("\u010a", "\u010a"), (".", "\u010a\u010a")]
    for left, right in merges:
        vocabulary.setdefault(left + right, len(vocabulary))
    core = Tokenizer(models.BPE(vocabulary, merges))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([AddedToken("<end>", special=True)])
    path = tmp_path_factory.mktemp("tokenizer")
    PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<end>").save_pretrained(path)
    return Text(path, "bytes", "mine")


def ids(text: Text, string: str) -> list[int]:
    return text.encode(Problem("p", string), Trajectory.root())


@pytest.mark.parametrize("string", ["the sum", "naïve", "日本語 the sum", "🙂🙂", "a\n\nb"])
def test_text_comes_back_whole_however_it_is_cut(text: Text, string: str) -> None:
    tokens = ids(text, string)
    for width in range(1, 6):
        reader = Reader(text, [])
        pieces = [tokens[i : i + width] for i in range(0, len(tokens), width)]
        read = [reader.read(piece) for piece in pieces]
        assert "".join(read) == string
        assert not any("\ufffd" in piece for piece in read)


def test_a_cut_character_belongs_to_the_next_piece(text: Text) -> None:
    tokens = ids(text, "a日b")
    before, after = tokens[:2], tokens[2:]
    first = Reader(text, []).read(before)
    assert first == "a"
    assert Reader(text, before).read(after) == "日b"
    assert Reader(text, []).read(before, final=True).startswith("a\ufffd")


def test_bytes_that_never_become_a_character_are_shown_in_the_end(text: Text) -> None:
    broken = ids(text, "日")[:1]
    reader = Reader(text, [])
    shown = "".join(reader.read(broken) for _ in range(20))
    assert "\ufffd" in shown


def test_special_tokens_are_no_text(text: Text) -> None:
    (end,) = text.special
    assert Reader(text, []).read([*ids(text, "sum"), end], final=True) == "sum"


def test_a_stop_that_no_two_tokens_spell_is_left_to_the_engine(text: Text) -> None:
    plan = text.stop_plan(("#",))
    assert plan == StopPlan(ids=(ids(text, "#")[0],))
    assert text.stop_plan(()) == StopPlan()


def test_a_stop_that_tokens_can_spell_together_is_watched_as_text_too(text: Text) -> None:
    plan = text.stop_plan(("\n\n",))
    assert set(plan.ids) == {ids(text, "\n\n")[0], ids(text, ".\n\n")[0]}
    assert plan.strings == ("\n\n",)
    assert text.stop_plan(("é",)).strings == ("é",)


def test_tokens_go_in_as_they_came_out(text: Text) -> None:
    # "the" in three letters, as a model may well have written it: never spelled anew.
    odd = [ids(text, letter)[0] for letter in "the"]
    node = Trajectory.root().extend(Segment("the", tuple(odd), "mine"), child=0, clock=0)
    prompt = ids(text, "sum ")
    assert text.encode(Problem("p", "sum "), node) == prompt + odd
    foreign = Trajectory.root().extend(Segment("the", tuple(odd), "other"), child=0, clock=0)
    assert text.encode(Problem("p", "sum "), foreign) == prompt + ids(text, "the")


def test_a_conversation_needs_a_chat_template(text: Text) -> None:
    with pytest.raises(ConfigError, match="bytes has no chat template, and problem 'q' is a"):
        text.encode(Problem.chat("q", "Hello"), Trajectory.root())


def test_a_directory_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelNotFound, match="holds no tokenizer that can be loaded"):
        Text(tmp_path, "none", "none")


def test_a_text_inside_another_has_no_special_tokens(text: Text) -> None:
    assert text.ids_of("the sum") == ids(text, "the sum")
    assert text.ids_of("") == []


def test_a_string_is_one_token_or_none(text: Text) -> None:
    (end,) = text.special
    assert text.token_id("<end>") == end
    assert text.token_id(" the") == ids(text, " the")[0]
    assert text.token_id("the sum") is None
    assert text.token_id("") is None


def test_an_unknown_string_is_no_token() -> None:
    mini = Text(BUNDLED / "mini-reasoner", "mini", "its")
    assert mini.token_id("é") is None
    assert mini.token_id("<unk>") is not None
    assert mini.token_id("\n\n") is not None


def test_a_conversation_goes_through_the_template() -> None:
    mini = Text(BUNDLED / "mini-reasoner", "mini", "its")
    question, answer = Message("user", "1+2="), Message("assistant", "3")
    asked = mini.render([question], generation_prompt=True)
    assert asked == mini.encode(Problem("p", messages=(question,)), Trajectory.root())
    whole = mini.render([question, answer], generation_prompt=False)
    assert whole[: len(asked)] == asked
    assert whole[len(asked) :] == [*mini.ids_of("3"), mini.token_id("<eos>")]
    with pytest.raises(ConfigError, match="The chat template of mini refuses what it is to read"):
        mini.render([Message("system", "x")], generation_prompt=True)
