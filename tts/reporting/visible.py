"""Texts that models wrote, made fit to be shown: no character acts, and none is without end.

Control characters and those that turn the direction of writing are shown as what they are, not
obeyed; joiners, which some scripts need, stay. Markup is no matter of this module: templates escape
all they are given.
"""

from __future__ import annotations

import re
from typing import Any

_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e007f\ud800-\udfff]"
)
_PICTURES = {code: chr(0x2400 + code) for code in range(32)} | {127: "\u2421"}


def visible(text: str) -> str:
    """The text with a sign in the place of each character that would act unseen.

    Line feeds and tabs stay. `␛` is an escape of a terminal, `⟨U+202E⟩` turns what follows around.
    """
    return _HIDDEN.sub(_sign, text.replace("\r\n", "\n"))


def shown(value: Any) -> Any:
    """What a template shows of a value: texts made visible, all else as it is.

    For `finalize` of a Jinja environment. Markup of our own is left alone.
    """
    return visible(value) if type(value) is str else value


def cut(text: str, most: int) -> str:
    """As much of a text as may be shown, with a note of what is left out.

    Args:
        text: Any.
        most: Characters, at least 2; of them three quarters from the beginning.
    """
    if len(text) <= most:
        return text
    head, tail = most * 3 // 4, most - most * 3 // 4
    return f"{text[:head]}\n[… {len(text) - most:,} characters left out …]\n{text[-tail:]}"


def _sign(match: re.Match[str]) -> str:
    code = ord(match[0])
    return _PICTURES.get(code) or f"⟨U+{code:04X}⟩"
