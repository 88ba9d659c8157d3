r"""The tokenizers of the family: 32 tokens, one a character but for the marks of a solution.

The end of a step, the ``=>`` between an operation and what is left, and the opening of the box
are one token each. A thinker has four tokens more: the tags around its thinking, and the words that
open a re-check and a change of mind, without the space after them. Text comes back exactly as it
went in; an unknown character becomes ``<unk>``.
"""

import json
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tts.tasks.mini_problems import STEP_END, THEREFORE

PAD, UNKNOWN, BEGIN, END = "<pad>", "<unk>", "<bos>", "<eos>"
USER, ASSISTANT = "<|user|>", "<|assistant|>"
BOX = "\\boxed{"
VOCABULARY = (
    PAD, UNKNOWN, BEGIN, END, USER, ASSISTANT,
    *"0123456789", *"+-*=", THEREFORE, STEP_END, BOX, "}",
    " ", "\n", "(", ")", ".", ",", "/", "?",
)  # fmt: skip
"""The tokens in the order of their ids; the last eight occur in no training problem."""

THINK, END_OF_THINKING = "<think>", "</think>"
WAIT, ALTERNATIVELY = "Wait", "Alternatively"
OF_THINKING = (THINK, END_OF_THINKING, WAIT, ALTERNATIVELY)
"""The tokens that a thinker has after those of all."""

MAX_LENGTH = 1024
"""Longest sequence in tokens, for the tokenizer and the models."""

CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'user' -%}"
    "{{ '" + USER + "' + message['content'] }}"
    "{%- elif message['role'] == 'assistant' -%}"
    "{{ '" + ASSISTANT + "' + message['content'] + eos_token }}"
    "{%- else -%}"
    "{{ raise_exception('mini models know the roles user and assistant only') }}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '" + ASSISTANT + "' }}{%- endif -%}"
)


def pattern(thinking: bool = False) -> str:
    """What a token is, as a regular expression: the long ones first, then any single character."""
    return "|".join([*OF_THINKING * thinking, r" => |\n\n|\\boxed\{|[\s\S]"])


def build_tokenizer(thinking: bool = False) -> PreTrainedTokenizerFast:
    """Builds a tokenizer; it depends on nothing but this file.

    Args:
        thinking: whether it is a thinker's.
    """
    ids = {token: place for place, token in enumerate((*VOCABULARY, *OF_THINKING * thinking))}
    core = Tokenizer(models.WordLevel(ids, unk_token=UNKNOWN))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(pattern(thinking)), behavior="isolated")
    core.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        unk_token=UNKNOWN,
        bos_token=BEGIN,
        eos_token=END,
        additional_special_tokens=[USER, ASSISTANT],
        model_max_length=MAX_LENGTH,
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def save_tokenizer(tokenizer: PreTrainedTokenizerFast, directory: Path) -> None:
    """Writes the tokenizer's files in a form that transformers 4 and 5 both read.

    Version 5 names a class and lists extra tokens in a way that version 4 refuses. Neither says
    anything that ``tokenizer.json`` does not hold.
    """
    tokenizer.save_pretrained(directory)
    path = directory / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings.pop("extra_special_tokens", None)
    settings.pop("backend", None)
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def chat_text(question: str) -> str:
    """The text before a solution: what the chat template makes of one user message."""
    return f"{BEGIN}{USER}{question}{ASSISTANT}"
