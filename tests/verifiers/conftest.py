"""Tokenizers and checkpoints that the tests of the PRM share."""

from __future__ import annotations

import pytest
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tests.engine.checkpoints import checkpoint
from tts.engine.models import BUNDLED
from tts.engine.text import Text, tokenizer_identity

_CHAT = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}<end>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture(scope="session")
def mini_text():
    """The tokenizer of the bundled family."""
    path = BUNDLED / "mini-reasoner"
    return Text(path, "mini", tokenizer_identity(path))


@pytest.fixture(scope="session")
def chat_text(tmp_path_factory):
    """One token a character, and marks of their own; whoever speaks is marked by a token."""
    marks = ["<unk>", "<bos>", "<end>", "<system>", "<user>", "<assistant>", "<extra_0>"]
    letters = [chr(code) for code in range(32, 127)]
    return _text(tmp_path_factory, [*marks, "\n", *letters], marks, r"[\s\S]")


@pytest.fixture(scope="session")
def word_text(tmp_path_factory):
    """One token a word, each with the space before it; a line end is one too."""
    words = ["▁1+1=", "▁2", "▁4", "▁ки", "▁+", "▁-", "\n", "2", "4"]
    path = tmp_path_factory.mktemp("tokenizer")
    core = Tokenizer(models.WordLevel({w: i for i, w in enumerate(["<unk>", *words])}, "<unk>"))
    metaspace = pre_tokenizers.Metaspace("▁", prepend_scheme="first", split=True)
    lines = pre_tokenizers.Split(Regex("\n"), "isolated")
    core.pre_tokenizer = pre_tokenizers.Sequence([metaspace, lines])
    PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>").save_pretrained(path)
    return Text(path, "words", "words")


def _text(tmp_path_factory, vocabulary, marks, pattern):
    path = tmp_path_factory.mktemp("tokenizer")
    ids = {token: place for place, token in enumerate(vocabulary)}
    core = Tokenizer(models.WordLevel(ids, "<unk>"))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "isolated")
    core.add_special_tokens(marks)
    fast = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>", bos_token="<bos>")
    fast.chat_template = _CHAT
    fast.save_pretrained(path)
    return Text(path, "letters", "letters")


@pytest.fixture(scope="session")
def token_checkpoint(tmp_path_factory):
    """A random model with two values at each token."""
    return checkpoint(tmp_path_factory.mktemp("prm") / "model", "LlamaForTokenClassification")
