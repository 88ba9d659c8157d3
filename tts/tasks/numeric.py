"""Numbers that need only be close: measured values, results in decimals."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Context, Decimal, InvalidOperation

from tts.errors import ConfigError
from tts.tasks._numbers import canonical_number, tidy
from tts.tasks.answers import MathAnswers

_SCIENTIFIC = re.compile(
    r"([-+]?[0-9][0-9,]*(?:\.[0-9]*)?)\s*"
    r"(?:[eE]|(?:\\times|\\cdot|×|\*)\s*10\s*(?:\^|\*\*))\s*\{?\s*([-+]?[0-9]{1,4})\s*\}?"
    r"(?:\s*[A-Za-z\\][^0-9]*)?"
)
_ARITHMETIC = Context(prec=60, traps=[])
"""Quiet: what overflows becomes infinite, and is close to nothing."""


@dataclass(frozen=True)
class NumericAnswers(MathAnswers):
    """Numbers that count as right when they are close to the gold one. See `MathAnswers`.

    Right is |answer - gold| <= max(`absolute`, `relative` * |gold|). Votes still meet by value
    alone: closeness makes no groups. Formulas and percentages must be equal.

    Attributes:
        relative: Largest error relative to the gold answer, at least 0.
        absolute: Largest error, at least 0.
    """

    relative: float = 1e-4
    absolute: float = 0.0

    def __post_init__(self) -> None:
        for name in ("relative", "absolute"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ConfigError(
                    f"answers.{name} is {getattr(self, name)}; it must be at least 0."
                )

    async def key(self, answer: str) -> str:
        """A canonical form as that of `MathAnswers`, numbers in scientific notation included."""
        match = _SCIENTIFIC.fullmatch(tidy(answer))
        value = _value(answer) if match else None
        plain = canonical_number(f"{value:f}") if value is not None else None
        return plain if plain is not None else await super().key(answer)

    async def equal(self, answer: str, gold: str) -> bool:
        """Whether an answer is close enough to the gold one."""
        found, right = _value(answer), _value(gold)
        if found is None or right is None or "%" in answer + gold:  # 50% may be 0.5
            return await super().equal(answer, gold)
        error = abs(_ARITHMETIC.subtract(found, right))
        bound = _ARITHMETIC.multiply(Decimal(self.relative), abs(right))
        return error <= max(Decimal(self.absolute), bound)


def _value(text: str) -> Decimal | None:
    """A plain number, up to 60 digits of it; None for anything else."""
    match = _SCIENTIFIC.fullmatch(tidy(text)) if len(text) <= 200 else None
    if match:
        text = f"{match[1].replace(',', '')}e{match[2]}"
    number = text if match else canonical_number(text)
    if number is None:
        return None
    top, _, bottom = number.partition("/")
    try:
        value = _ARITHMETIC.divide(Decimal(top), Decimal(bottom or "1"))
    except InvalidOperation:
        return None
    return value if value.is_finite() else None
