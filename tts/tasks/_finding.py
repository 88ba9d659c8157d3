"""Finding things in the text of an answer: boxes, last occurrences, finished sentences.

Knows text only, and nothing of what kind of answer is looked for. All of it takes linear time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

BOX = "\\boxed"
_BRACES = re.compile(r"(\\boxed\s*\{)|(?:\\.)|(\{)|(\})", re.DOTALL)
_ENDED = re.compile(r"(?:[.!?][\"')*]*|\\\]|\\\)|\$\$|\*\*)\s*\Z")


def boxed(text: str) -> str | None:
    """The content of the complete box that starts last, or None if there is none or it is empty."""
    start = text.rfind(BOX + "{")
    end = text.find("}", start)
    content = text[start + len(BOX) + 1 : end]
    if start < 0 or end < 0 or "{" in content or "\\" in content:
        content = max(_boxes(text), default=(0, ""))[1]
    return content.strip() or None


def _boxes(text: str) -> Iterator[tuple[int, str]]:
    """Start and content of each complete box, in one pass: texts may hold thousands."""
    open_braces: list[re.Match[str]] = []
    for token in _BRACES.finditer(text):
        box, brace, closing = token.groups()
        if box or brace:
            open_braces.append(token)
        elif closing and open_braces and (opening := open_braces.pop())[1]:
            yield opening.start(), text[opening.end() : token.start()]


def last(pattern: re.Pattern[str], text: str) -> str | None:
    """The first group of the last match, or None."""
    found = None
    for match in pattern.finditer(text):
        found = match[1]
    return found


def ended(text: str) -> bool:
    """Whether a text ends as a finished sentence does."""
    return _ENDED.search(text[-16:]) is not None
