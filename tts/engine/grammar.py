"""Whether the engine can hold a model to a grammar: found out before anything is sent.

It is vLLM's own check, for the library of grammars that the engine is started with. What that
lets through may still have no tokens in a vocabulary that is not whole, so these are looked at.
"""

from __future__ import annotations

import json
import re
import sys
import warnings
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import cached_property
from typing import Any

from tts.engine.launch import IMPORTING
from tts.engine.logs import engine_log
from tts.engine.resolved import GRAMMARS, ResolvedConfig
from tts.engine.surroundings import SURROUNDINGS
from tts.engine.text import Text
from tts.errors import ConfigError

_PLACE = re.compile(r"^\[[0-9:]+\] \S+:[0-9]+: ")  # where in its source xgrammar gave up
_LETTERS = "".join(map(chr, range(32, 127)))
_NAMES = {"json": "json_schema", "structural_tag": "after"}


class Grammars:
    """Looks at grammars for one model.

    Args:
        text: The model's tokenizer.
        vocabulary: Tokens that the model knows.
        config: Settings of the engine.
    """

    def __init__(self, text: Text, vocabulary: int, config: ResolvedConfig) -> None:
        self._text = text
        self._vocabulary = vocabulary
        self._config = config
        self._well: set[str] = set()

    def check(self, words: Mapping[str, Any]) -> None:
        """Refuse what the engine would refuse, or what the model has no tokens for.

        Args:
            words: One field of vLLM's `StructuredOutputsParams` with its value.

        Raises:
            ConfigError: It is no schema, expression or grammar, uses what xgrammar does not know,
                or begins with what no token spells.
        """
        key = json.dumps(words, sort_keys=True)
        if key in self._well or self._config.grammars != GRAMMARS["backend"]:
            return  # of other libraries the engine has the last word
        ((field, _),) = words.items()
        name = f"structure.{_NAMES.get(field, field)}"
        self._parse(name, words)
        if not self._text.spells(_LETTERS):
            self._begin(name, words)
        self._well.add(key)

    def _parse(self, name: str, words: Mapping[str, Any]) -> None:
        try:
            self._validate(words)
        except Exception as error:  # vLLM and xgrammar have several kinds
            raise ConfigError(
                f"{name} cannot be used: {_why(error)}.",
                hint="See docs/engine.md, 'Structured output', for what is understood.",
            ) from error

    def _begin(self, name: str, words: Mapping[str, Any]) -> None:
        """Refuse a structure whose first character the model cannot write."""
        import xgrammar

        compiled = _compiled(self._compiler, words)
        mask = xgrammar.allocate_token_bitmask(1, self._vocabulary)
        xgrammar.GrammarMatcher(compiled).fill_next_token_bitmask(mask)
        if not mask.any():
            raise ConfigError(
                f"{name} cannot be used: {self._text.name} has no token that it may begin with.",
                hint="Ask for what its vocabulary can spell, or take another model.",
            )

    @cached_property
    def _validate(self) -> Callable[[Mapping[str, Any]], None]:
        """What vLLM does with a request before it sends it to its engine."""
        with ExitStack() as stack:
            if "vllm.v1.engine.async_llm" not in sys.modules:  # as when the engine is started
                stack.enter_context(SURROUNDINGS.held(self._config.environment))
                stack.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore")
                engine_log().hush()
            stack.enter_context(IMPORTING)
            from vllm import SamplingParams
            from vllm.sampling_params import StructuredOutputsParams
            from vllm.v1.structured_output.backend_xgrammar import validate_xgrammar_grammar

        def validate(words: Mapping[str, Any]) -> None:
            asked = StructuredOutputsParams(**words)
            validate_xgrammar_grammar(SamplingParams(structured_outputs=asked))

        return validate

    @cached_property
    def _compiler(self) -> Any:
        import xgrammar

        known = xgrammar.TokenizerInfo.from_huggingface(
            self._text.tokenizer, vocab_size=self._vocabulary
        )
        return xgrammar.GrammarCompiler(known, max_threads=1)


def _compiled(compiler: Any, words: Mapping[str, Any]) -> Any:
    """A grammar with the vocabulary, as vLLM compiles it."""
    ((field, value),) = words.items()
    if field == "json":
        return compiler.compile_json_schema(json.dumps(value), any_whitespace=False)
    if field == "regex":
        return compiler.compile_regex(value)
    if field == "structural_tag":
        return compiler.compile_structural_tag(value)
    if field == "choice":
        from vllm.v1.structured_output.utils import choice_as_grammar

        return compiler.compile_grammar(choice_as_grammar(value))
    return compiler.compile_grammar(value) if "::=" in value else compiler.compile_lark(value)


def _why(error: BaseException) -> str:
    """What is wrong, in the words of whoever found it; the first line of them."""
    cause = error.__cause__ or error
    lines = [_PLACE.sub("", line).strip() for line in str(cause).splitlines()]
    said = next((line for line in lines if line), type(cause).__name__)
    return said.rstrip(".")
