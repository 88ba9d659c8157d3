"""Python programs as text: found in a text, read, put together with their tests. Runs nothing."""

from __future__ import annotations

import ast
import re
import textwrap
import warnings
from collections.abc import Sequence

_FENCE = re.compile(r"^([ \t]*)```[ \t]*([\w+-]*)[^\n]*\n?", re.MULTILINE)
_LONGEST = 20_000  # characters; longer programs are not read
_DEEP = (SyntaxError, ValueError, RecursionError, MemoryError)
"""What Python's parser says of texts that are no programs, or nested without end."""


def program_in(text: str) -> str | None:
    """The final program in a text, or None.

    The last complete fenced code block. A text without any fence is a program if it is one as a
    whole, or continues one: indented lines, up to the first line that is not.
    """
    if "```" in text:
        return _fenced(text)
    body = _continuation(text)
    if body is not None:
        return body
    tree = _parsed(text)
    if tree is None or all(isinstance(part, ast.Expr) for part in tree.body):
        return None  # prose, or a lone value
    return text.strip("\n")


def plain(program: str) -> str:
    """A program without comments, blank lines and habits of spelling; unread if it is too long."""
    tree = _parsed(program) or _parsed(_wrapped(program))
    try:
        return ast.unparse(tree) if tree else program.strip()
    except _DEEP:
        return program.strip()


def pieces(answer: str, tests: Sequence[str], *, prompt: str = "", entry: str = "") -> list[str]:
    """What is run one after the other, in one namespace.

    Args:
        answer: A program, or what continues `prompt`.
        tests: Programs that fail if the answer does.
        prompt: What the answer continues or defines anew; empty if there is no such thing.
        entry: Name of a function which the tests then get through a call `check(<entry>)`, as in
            HumanEval; empty for none.
    """
    if not _defines(answer, entry):
        program = [prompt + _indented(answer)]
    elif _parsed(prompt) is None:  # a signature without a body: the answer has it all
        program = [answer]
    else:
        program = [prompt, answer]
    return [*program, *tests, *([f"check({entry})"] if entry else [])]


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
