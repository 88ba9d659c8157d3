"""Answers that are programs: found in a text, compared as programs, judged by their tests.

Knows Python as text alone; `tts.tasks._sandbox` is what runs it.
"""

from __future__ import annotations

import ast
import re
import textwrap
import warnings
from dataclasses import dataclass, field
from typing import Any

from tts.errors import ConfigError
from tts.tasks._sandbox import Limits, run
from tts.tasks.task import Item

__all__ = ["Limits", "ProgramAnswers", "ProgramTests"]

_FENCE = re.compile(r"^([ \t]*)```[ \t]*([\w+-]*)[^\n]*\n?", re.MULTILINE)
_LONGEST = 20_000  # characters; longer programs meet only their own spelling
_DEEP = (SyntaxError, ValueError, RecursionError, MemoryError)
"""What Python's parser says of texts that are no programs, or nested without end."""


@dataclass(frozen=True)
class ProgramAnswers:
    """Answers that are Python programs. Implements `tts.tasks.Answers`.

    A program is the last complete fenced code block. A text without any fence is a program if it
    is one as a whole, or continues one: indented lines, up to the first line that is not.

    Attributes:
        landing: Text that makes a model state its result, whatever came before.
    """

    landing: str = "\n\n```python\n"

    def extract(self, text: str) -> str | None:
        """The final program in a text, or None."""
        if "```" in text:
            return _fenced(text)
        body = _continuation(text)
        if body is not None:
            return body
        tree = _parsed(text)
        if tree is None or all(isinstance(part, ast.Expr) for part in tree.body):
            return None  # prose, or a lone value
        return text.strip("\n")

    async def key(self, answer: str) -> str:
        """The program without comments, blank lines and habits of spelling."""
        tree = _parsed(answer) or _parsed(_wrapped(answer))
        try:
            return ast.unparse(tree) if tree else answer.strip()
        except _DEEP:
            return answer.strip()

    async def equal(self, answer: str, gold: str) -> bool:
        """Whether two programs have the same key; many that do not do the same all the same."""
        return await self.key(answer) == await self.key(gold)


@dataclass(frozen=True)
class ProgramTests:
    """Right is a program that passes the tests of its problem. Implements `tts.tasks.Grader`.

    An item's reference holds `test`, a program or a list of them; `prompt`, what the answer
    continues or defines anew, if there is such a thing; and `entry_point`, the name of a function
    which the tests then get through a call `check(<entry point>)`, as in HumanEval.

    Programs run in a process of their own, without network, further processes, or files outside a
    temporary folder where the kernel allows to forbid them. That stops accidents. It is no boundary
    against an attacker: run what you do not trust on a machine that you can afford to lose.

    Attributes:
        limits: What a program may use.
        allow_code_execution: Must be true.

    Raises:
        ConfigError: Running code was not allowed.
    """

    limits: Limits = field(default_factory=Limits)
    allow_code_execution: bool = False

    def __post_init__(self) -> None:
        if not self.allow_code_execution:
            raise ConfigError(
                "allow_code_execution is false; grading this task runs programs that a model"
                " wrote, on this machine.",
                hint="Set task.allow_code_execution=true if that is what you want.",
            )

    async def right(self, answer: str, item: Item) -> bool:
        """Whether a program ends its tests in time.

        Raises:
            GradingError: The process that runs it does not work.
        """
        return await run(_pieces(answer, item.reference), self.limits)


def _fenced(text: str) -> str | None:
    """The last block that is closed. A fence that names a language always opens."""
    found, start, margin = None, -1, ""
    for fence in _FENCE.finditer(text):
        if start >= 0 and not fence[2]:
            found = _outdented(text[start : fence.start()], margin).strip("\n") or found
            start = -1
        else:
            start, margin = fence.end(), fence[1]
    return found


def _outdented(block: str, margin: str) -> str:
    """A block without the margin of its fence; a body of a function stays indented."""
    return "\n".join(line.removeprefix(margin) for line in block.split("\n"))


def _continuation(text: str) -> str | None:
    """Indented lines at the start that are the body of a function; None if there are none."""
    lines: list[str] = []
    for line in text.split("\n"):
        if line.strip() and not line[0].isspace():
            break
        lines.append(line)
    body = "\n".join(lines).rstrip()
    return body if body.strip() and _parsed(_wrapped(body)) else None


def _wrapped(body: str) -> str:
    return "def _():\n" + textwrap.indent(textwrap.dedent(body.strip("\n")), "    ")


def _parsed(text: str) -> ast.Module | None:
    if len(text) > _LONGEST:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in strings, which are not ours
            return ast.parse(text)
    except _DEEP:
        return None


def _pieces(answer: str, reference: Any) -> list[str]:
    """What is run, one piece after the other, in one namespace."""
    prompt, entry = reference.get("prompt", ""), reference.get("entry_point", "")
    tests = reference["test"]
    if not _defines(answer, entry):
        program = [prompt + _indented(answer)]
    elif _parsed(prompt) is None:  # a signature without a body: the answer has it all
        program = [answer]
    else:
        program = [prompt, answer]
    tests = [tests] if isinstance(tests, str) else list(tests)
    return [*program, *tests, *([f"check({entry})"] if entry else [])]


def _indented(body: str) -> str:
    return body if body.lstrip("\n")[:1].isspace() else textwrap.indent(body, "    ")


def _defines(answer: str, name: str) -> bool:
    tree = _parsed(answer)
    if tree is None:
        return False
    if not name:
        return True
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    names = {part.name for part in tree.body if isinstance(part, kinds)}
    names |= {
        target.id
        for part in tree.body
        if isinstance(part, ast.Assign)
        for target in part.targets
        if isinstance(target, ast.Name)
    }
    return name in names
