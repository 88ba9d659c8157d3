"""Between text and token ids: prompts, continuations, incremental text, stop strings.

Everything that knows the tokenizer is here. Two things are easy to get wrong and are not:

* the text of a piece is what the piece adds to the text before it, since many tokenizers decode a
  token differently at the start of a text (a missing space) or in the middle of a character;
* a character of which a piece holds only the first bytes belongs to the next piece.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from tts.errors import ConfigError, ModelNotFound
from tts.types import Message, Problem, Segment, Trajectory

_BROKEN = "\ufffd"  # what a decoder writes for an incomplete character
_CONTEXTS = (6, 32)  # tokens before a piece that are looked at to read it; more if these clash
_MOST_BROKEN = 3  # marks at the end that a character to come can explain; more are broken for good
_CACHED_PROMPTS = 4096
_MOST_STOP_IDS = 1024  # the engine looks through the list once a token


_VOCABULARY = ("tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt")


def tokenizer_identity(path: Path) -> str:
    """Identity of a checkpoint's tokenizer: 16 hex digits over its vocabulary files."""
    digest = hashlib.sha256()
    for name in _VOCABULARY:
        if (path / name).is_file():
            digest.update((path / name).read_bytes())
    return digest.hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class StopPlan:
    """How stop strings are told to the engine.

    Attributes:
        ids: Tokens whose text holds a stop string: the engine stops on them at once.
        strings: Stop strings that several tokens can spell together, so that the text must be
            watched; empty if none can, or if there are none.
    """

    ids: tuple[int, ...] = ()
    strings: tuple[str, ...] = ()


class Text:
    """A model's tokenizer, with the caches that repeated requests need.

    Args:
        path: Directory of the checkpoint.
        name: Of the model, for messages.
        identity: Of the tokenizer; ids of segments under another one are not used.
        trust_remote_code: Whether the checkpoint's own tokenizer code may run.

    Raises:
        ModelNotFound: The directory holds no tokenizer.
    """

    def __init__(
        self, path: Path, name: str, identity: str, *, trust_remote_code: bool = False
    ) -> None:
        self.name = name
        self.identity = identity
        self._tokenizer = _load(path, trust_remote_code)
        self._fast = getattr(self._tokenizer, "backend_tokenizer", None)
        self._prompts: OrderedDict[Any, tuple[int, ...]] = OrderedDict()
        self._piece = lru_cache(maxsize=4096)(self._encode_piece)
        self.stop_plan = lru_cache(maxsize=256)(self._stop_plan)
        self.special: frozenset[int] = frozenset(self._tokenizer.all_special_ids)
        self._vocabulary: list[str] | None = None

    def encode(self, problem: Problem, trajectory: Trajectory) -> list[int]:
        """The ids of the prompt and the partial answer: tokens in, tokens out.

        Raises:
            ConfigError: The model has no chat template, or its template refuses the conversation.
        """
        ids = list(self._prompt(problem))
        for segment in trajectory.segments():
            ids.extend(self.ids_in(segment))
        return ids

    def render(self, messages: Sequence[Message], *, generation_prompt: bool) -> list[int]:
        """The ids of a conversation, through the chat template.

        Args:
            messages: The conversation.
            generation_prompt: Whether the template opens the assistant's next turn.

        Raises:
            ConfigError: The model has no chat template, or its template refuses the conversation.
        """
        return self._render(messages, generation_prompt, "what it is to read")

    def ids_of(self, text: str) -> list[int]:
        """The ids of a text in the middle of another, without special tokens."""
        return list(self._piece(text))

    def spells(self, text: str) -> bool:
        """Whether there are tokens for all of a text."""
        return self._tokenizer.unk_token_id not in self._piece(text)

    def token_id(self, token: str) -> int | None:
        """The id of a string that is exactly one token, special ones included; None if it is not.

        Tokenizers that put a space before a text give the token with that space.
        """
        return self._single(self._tokenizer.encode(token, add_special_tokens=False), token)

    def inner_id(self, token: str) -> int | None:
        """As `token_id`, for a string in the middle of a text: a space before it makes another."""
        return self._single(self._piece(token), token)

    def word(self, number: int) -> str:
        """The text of a token by itself; empty for special tokens, and for numbers of none."""
        known = 0 <= number < len(self._tokenizer) and number not in self.special
        return self._token_text(number) if known else ""

    def _single(self, ids: Sequence[int], token: str) -> int | None:
        unknown = self._tokenizer.unk_token_id
        if len(ids) != 1 or (ids[0] == unknown and token != self._tokenizer.unk_token):
            return None
        return ids[0]

    @property
    def tokenizer(self) -> Any:
        """The tokenizer itself, as transformers has made it."""
        return self._tokenizer

    @property
    def bos(self) -> str:
        """The token that begins a text; empty if the tokenizer has none."""
        token: str | None = self._tokenizer.bos_token
        return token or ""

    @property
    def chat_template(self) -> str | None:
        """The model's chat template, if it has one."""
        template: str | None = self._tokenizer.chat_template
        return template

    def ids_in(self, segment: Segment) -> Sequence[int]:
        """The ids of a segment: its own if they are of this tokenizer, else those of its text."""
        if segment.tokens is not None and segment.tokenizer == self.identity:
            return segment.tokens
        return self._piece(segment.text)

    def _prompt(self, problem: Problem) -> tuple[int, ...]:
        key = (problem.prompt, problem.messages)
        known = self._prompts.get(key)
        if known is not None:
            self._prompts.move_to_end(key)
            return known
        ids = self._encode_prompt(problem)
        self._prompts[key] = ids
        if len(self._prompts) > _CACHED_PROMPTS:
            self._prompts.popitem(last=False)
        return ids

    def _encode_prompt(self, problem: Problem) -> tuple[int, ...]:
        if problem.prompt:
            return tuple(self._tokenizer.encode(problem.prompt))
        return tuple(self._render(problem.messages, True, f"problem {problem.id!r}"))

    def _render(
        self, messages: Sequence[Message], generation_prompt: bool, whose: str
    ) -> list[int]:
        if not self.chat_template:
            raise ConfigError(
                f"The model {self.name} has no chat template, and {whose} is a conversation.",
                hint="Give the problem as Problem(id, prompt=…), or take a model that chats.",
            )
        turns = [{"role": m.role, "content": m.content} for m in messages]
        try:
            text = self._tokenizer.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=generation_prompt
            )
        except Exception as error:  # templates are programs; each raises what it likes
            raise ConfigError(
                f"The chat template of {self.name} refuses {whose}: {error}."
            ) from error
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids

    def _encode_piece(self, text: str) -> tuple[int, ...]:
        """The ids of a text in the middle of another, without special tokens."""
        plain: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        # Tokenizers of the sentencepiece kind put a space before a text; after a line they do not.
        line: list[int] = self._tokenizer.encode("\n", add_special_tokens=False)
        marked: list[int] = self._tokenizer.encode("\n" + text, add_special_tokens=False)
        if marked[: len(line)] == line:
            return tuple(marked[len(line) :])
        return tuple(plain)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids, special tokens left out."""
        if self._fast is not None:
            return str(self._fast.decode(list(ids), skip_special_tokens=True))
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))

    def added(self, before: Sequence[int], new: Sequence[int]) -> str:
        """What `new` adds to the text of `before`; may end in an incomplete character."""
        for length in _CONTEXTS:
            context = before[-length:]
            head = self.decode(context).rstrip(_BROKEN) if context else ""
            whole = self.decode([*context, *new])
            if whole.startswith(head):
                return whole[len(head) :]
        return self.decode(new)

    def _stop_plan(self, stop: tuple[str, ...]) -> StopPlan:
        """How these stop strings are told to the engine; looks through the vocabulary once."""
        ids = tuple(
            number
            for number, text in enumerate(self._words())
            if any(string in text for string in stop)
        )
        if len(ids) > _MOST_STOP_IDS:
            return StopPlan(strings=stop)
        others = [text for number, text in enumerate(self._words()) if number not in set(ids)]
        spelled = tuple(string for string in stop if _can_begin(string, others))
        return StopPlan(ids, spelled)

    def _words(self) -> list[str]:
        """The text of every token by itself, in the order of ids; empty for special tokens."""
        if self._vocabulary is None:
            words = []
            for number in range(len(self._tokenizer)):
                words.append("" if number in self.special else self._token_text(number))
            self._vocabulary = words
        return self._vocabulary

    def _token_text(self, number: int) -> str:
        text = self.decode([number])
        raw = str(self._tokenizer.convert_ids_to_tokens(number) or "")
        # Decoded by itself, a token of the sentencepiece kind loses the space it begins with.
        return f" {text}" if raw.startswith("\u2581") and not text.startswith(" ") else text


class Reader:
    """Turns ids that come piece by piece into text.

    Args:
        text: The tokenizer.
        before: Ids that the first piece follows.
    """

    __slots__ = ("_before", "_pending", "_shown", "_text")

    def __init__(self, text: Text, before: Sequence[int]) -> None:
        self._text = text
        self._before = list(before[-max(_CONTEXTS) :])
        self._pending: list[int] = []  # ids since the last place where the text was whole
        self._shown = 0  # characters of theirs that have been given out

    def read(self, new: Sequence[int], *, final: bool = False) -> str:
        """The text that `new` adds, without a character of which only a part is there.

        Args:
            new: The next ids.
            final: Whether nothing will ever follow, so that a part of a character is kept.
        """
        self._pending.extend(new)
        if not self._pending:
            return ""
        text = self._text.added(self._before, self._pending)
        whole = text.rstrip(_BROKEN)
        if 0 < len(text) - len(whole) <= _MOST_BROKEN and not final:
            fresh, self._shown = whole[self._shown :], max(self._shown, len(whole))
            return fresh
        fresh, self._shown = text[self._shown :], 0
        self._before = [*self._before, *self._pending][-max(_CONTEXTS) :]
        self._pending = []
        return fresh


def _can_begin(string: str, words: list[str]) -> bool:
    """Whether a token that does not hold `string` can be the first of several that spell it.

    A token with an incomplete character might, if the string goes beyond ASCII.
    """
    heads = tuple(string[:end] for end in range(1, len(string)))
    return any(
        (heads and word.endswith(heads)) or (_BROKEN in word and not string.isascii())
        for word in words
    )


def _load(path: Path, trust_remote_code: bool) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(
            str(path), local_files_only=True, trust_remote_code=trust_remote_code
        )
    except (OSError, ValueError) as error:
        raise ModelNotFound(
            f"'{path}' holds no tokenizer that can be loaded: {error}",
            hint="Copy tokenizer.json and tokenizer_config.json beside config.json.",
        ) from error
