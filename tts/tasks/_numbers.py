r"""Plain numbers as people and models write them, brought to one form without SymPy.

Votes and grades meet plain numbers nearly always, so this is the hot path: pure string work, about
a microsecond for an integer. Nothing is evaluated, and digits are never turned into machine
integers unless a fraction asks for it, so that a number of a million digits costs what it weighs.
"""

from __future__ import annotations

import re
from math import gcd

_DECIMAL = re.compile(r"([-+]?)[$€£]?([0-9]{1,3}(?:,[0-9]{3})+|[0-9]*)(?:\.([0-9]*))?")
_DIGITS = r"\s*([0-9]{1,60})\s*"  # a bound keeps the arithmetic on fractions cheap
_FRACTION = re.compile(
    rf"([-+]?)(?:{_DIGITS}(?=\s|\\))?"  # a whole number in front, as in 1 1/2
    rf"(?:{_DIGITS}/{_DIGITS}|\\frac\s*(?:\{{{_DIGITS}\}}\{{{_DIGITS}\}}|([0-9])([0-9])))"
)
_UNIT = re.compile(r"([-+$€£0-9][0-9.,/ ]*?)\s*([A-Za-z]{2,}(?:[ /-][A-Za-z]+){0,4})")
_DEGREES = re.compile(r"\s*(?:%|°|\^\s*\{?\s*\\circ\s*\}?|\\degrees?)$")
_WRAPPED = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mbox)\s*\{([^{}]*)\}")
_NO_UNITS = frozenset(
    "pi sqrt log ln exp sin cos tan mod and or hundred thousand million billion trillion dozen "
    "half halves third thirds quarter quarters".split()
)
"""Words behind a number that change its value, unlike 'eggs' or 'dollars per day'."""

_TYPESETTING = re.compile(
    r"(\\\\)|(?:\\(?:left|right)(?![a-zA-Z])|\\[!,()\[\]]|\\?\$|\*\*)|(\\[;: ]|~)"
    r"|(\{,\})|(\\[dtc]frac)|(\\%)|(\u2212)"
)
_PLAIN = ("", "\\\\", " ", ",", "\\frac", "%", "-")
"""What each group of `_TYPESETTING` stands for; the row break of a matrix stays."""

_LONGEST = 200  # characters; patterns that look for units are not for longer texts


def canonical_number(text: str) -> str | None:
    r"""The one form of a number, or None if `text` is not plainly a number.

    Terminating numbers become decimals without superfluous zeros ('007' is '7', '1/2' is '0.5',
    '1,000.' is '1000'), others reduced fractions ('2/6' is '1/3'). Currency signs, degrees, the
    per cent sign and words of measure are dropped: '$5', '5 dollars' and '5%' are all '5'.

    Args:
        text: An answer, of any length.
    """
    if text.isdigit() and text.isascii():
        return text.lstrip("0") or "0"
    return _decimal(text) or (_tidied_number(tidy(text)) if len(text) <= _LONGEST else None)


def tidy(text: str) -> str:
    """The text without what only its typesetting needs: dollars, thin spaces, sized brackets."""
    text = _TYPESETTING.sub(lambda match: _PLAIN[match.lastindex or 0], text).strip()
    return text[:-1].rstrip() if text.endswith(".") else text


def unwrap(text: str) -> str:
    r"""The text with `\text{…}` and its relatives replaced by what they hold."""
    return _WRAPPED.sub(r" \1 ", text).strip() if "\\" in text else text


def rational(numerator: int, denominator: int) -> str:
    """The one form of a fraction; the denominator is not 0."""
    if denominator < 0:
        numerator, denominator = -numerator, -denominator
    shared = gcd(numerator, denominator)
    numerator, denominator = numerator // shared, denominator // shared
    places, rest = 0, denominator
    while rest % 2 == 0 or rest % 5 == 0:
        # Multiplying by 10 takes one factor 2 and one factor 5 out of the denominator.
        rest //= gcd(rest, 10)
        places += 1
    if rest != 1:
        return f"{numerator}/{denominator}"
    digits = str(abs(numerator) * 10**places // denominator).zfill(places + 1)
    sign = "-" if numerator < 0 else ""
    return sign + (f"{digits[:-places]}.{digits[-places:]}" if places else digits)


def _decimal(text: str) -> str | None:
    match = _DECIMAL.fullmatch(text)
    if match is None:
        return None
    sign, whole, places = match.groups(default="")
    if not whole and not places:
        return None
    whole = whole.replace(",", "").lstrip("0") or "0"
    places = places.rstrip("0")
    number = f"{whole}.{places}" if places else whole
    return f"-{number}" if sign == "-" and number != "0" else number


def _tidied_number(text: str) -> str | None:
    text = _DEGREES.sub("", unwrap(text)).replace("- ", "-")
    measured = _UNIT.fullmatch(text)
    if measured and _NO_UNITS.isdisjoint(re.split("[ /-]", measured[2].lower())):
        text = measured[1]
    return _decimal(text) or _fraction(text)


def _fraction(text: str) -> str | None:
    match = _FRACTION.fullmatch(text)
    if match is None:
        return None
    sign, whole, *parts = match.groups()
    top, bottom = (int(part) for part in parts if part is not None)
    if bottom == 0:
        return None
    top += int(whole or 0) * bottom
    return rational(-top if sign == "-" else top, bottom)
