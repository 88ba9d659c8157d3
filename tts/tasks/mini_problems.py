r"""Chained arithmetic of graded difficulty: the problems that `mini-reasoner` is trained on.

A problem is an expression such as ``47+6*8-29=``; its solution carries out one operation a step,
writes down what is left, and ends with the answer in a box:

    6*8=48 => 47+48-29

    48-29=19 => 47+19

    47+19=66

    \boxed{66}

Any operation that does not change the value of the expression may come next, and the solution
draws one at random. So a problem has many right solutions with different sums in them, and one
answer: what voting over several samples lives on.

Everything is a pure function of (level, index, split). A problem's split is decided by a hash of
its text, so no prompt can occur in two splits, whatever the levels or the number of problems.
This module knows nothing of tokens and models; it needs the standard library only.
"""

import hashlib
import math
import random
import re
from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "validation", "test"]

STEP_END = "\n\n"
"""Separates the steps of a solution from each other and from the answer."""
THEREFORE = " => "
"""Stands between the operation of a step and the expression that is left."""
LIMIT = 10_000
"""Every intermediate value is at least 0 and below this."""

Term = tuple[str, tuple[int, ...]]
"""A sign, '+' or '-', and the one or two factors of a term."""


@dataclass(frozen=True)
class Level:
    """What the problems of one difficulty are made of.

    Attributes:
        terms: number of terms added or subtracted, at least 2.
        products: how many of the terms are a product of two factors.
        term_range: smallest and largest plain term, both included.
        factor_range: smallest and largest second factor of a product; the first has one digit.
    """

    terms: int
    products: int = 0
    term_range: tuple[int, int] = (2, 99)
    factor_range: tuple[int, int] = (2, 9)


LEVELS: dict[int, Level] = {
    1: Level(terms=2, term_range=(11, 99)),
    2: Level(terms=3, term_range=(11, 199)),
    3: Level(terms=4, term_range=(11, 499)),
    4: Level(terms=5, term_range=(11, 499)),
    5: Level(terms=6, products=1, term_range=(11, 499), factor_range=(11, 99)),
    6: Level(terms=7, products=1, term_range=(101, 999), factor_range=(11, 99)),
}
"""The levels by number, from the easiest to the hardest."""


@dataclass(frozen=True)
class MiniProblem:
    r"""One problem with a worked solution.

    Attributes:
        id: ``mini-<split>-<level>-<index>``, unique over all problems.
        level: a key of `LEVELS`.
        prompt: the expression with a trailing ``=``, without spaces.
        answer: its value, a whole number in decimal digits.
        solution: steps separated by a blank line, the last line ``\boxed{answer}``.
    """

    id: str
    level: int
    prompt: str
    answer: str
    solution: str


def generate(level: int, index: int, split: Split) -> MiniProblem:
    """The problem number `index` of a level and split; equal arguments give equal problems.

    Two indices of one split may hold the same prompt (level 1 has some 14,000 prompts in all);
    two splits never do.

    Args:
        level: a key of `LEVELS`.
        index: 0 or more.
        split: which part of all problems to draw from.

    Raises:
        ValueError: if there is no such level or the index is negative.
    """
    if level not in LEVELS or index < 0:
        raise ValueError(
            f"no problem {index} of level {level}: levels are {min(LEVELS)} to "
            f"{max(LEVELS)} and indices start at 0"
        )
    rng = random.Random(f"mini/{split}/{level}/{index}")
    while True:
        terms = _draw_terms(LEVELS[level], rng)
        prompt = render(terms) + "="
        if _stays_in_range(terms) and split_of(prompt) == split:
            answer, solution = _solve(terms, rng)
            return MiniProblem(f"mini-{split}-{level}-{index}", level, prompt, answer, solution)


def split_of(prompt: str) -> Split:
    """The split a prompt belongs to: 10% validation, 10% test, the rest train."""
    digest = hashlib.blake2b(prompt.encode(), digest_size=8).digest()
    place = int.from_bytes(digest, "big") % 10
    return "validation" if place == 0 else "test" if place == 1 else "train"


def _draw_terms(level: Level, rng: random.Random) -> list[Term]:
    with_product = rng.sample(range(level.terms), level.products)
    terms: list[Term] = []
    for place in range(level.terms):
        sign = "+" if place == 0 else rng.choice("+-")
        if place in with_product:
            terms.append((sign, (rng.randint(2, 9), rng.randint(*level.factor_range))))
        else:
            terms.append((sign, (rng.randint(*level.term_range),)))
    return terms


def _stays_in_range(terms: list[Term]) -> bool:
    """Whether all running totals from the left are in range: then a first step always exists."""
    total = 0
    for sign, factors in terms:
        total += math.prod(factors) if sign == "+" else -math.prod(factors)
        if not 0 <= total < LIMIT:
            return False
    return True


def render(terms: list[Term]) -> str:
    """The text of terms, without the sign of the first."""
    return "".join(sign + "*".join(map(str, factors)) for sign, factors in terms)[1:]


def parse(text: str) -> list[Term]:
    """The terms of a text that `render` wrote."""
    return [
        (sign or "+", tuple(map(int, factors.split("*"))))
        for sign, factors in re.findall(r"([+-]?)(\d+(?:\*\d+)*)", text)
    ]


def _solve(terms: list[Term], rng: random.Random) -> tuple[str, str]:
    """The answer of an expression and one of its solutions, drawn at random."""
    steps = []
    while len(terms) > 1 or len(terms[0][1]) > 1:
        operation, terms = carry_out(terms, rng.choice(places(terms)))
        steps.append(operation + (THEREFORE + render(terms) if len(terms) > 1 else ""))
    answer = str(terms[0][1][0])
    return answer, STEP_END.join([*steps, rf"\boxed{{{answer}}}"])


def places(terms: list[Term]) -> list[int]:
    """Places where an operation may be carried out: products, and pairs after a plus sign."""
    places = []
    for at, (sign, factors) in enumerate(terms):
        after = terms[at + 1] if at + 1 < len(terms) else None
        if len(factors) > 1:
            places.append(at)
        elif sign == "+" and after and len(after[1]) == 1:
            value = _combine(factors[0], after)
            if 0 <= value < LIMIT:
                places.append(at)
    return places


def carry_out(terms: list[Term], at: int) -> tuple[str, list[Term]]:
    """Carries out the operation at a place: its text, and the terms that are left."""
    sign, factors = terms[at]
    if len(factors) > 1:
        used, value = terms[at : at + 1], math.prod(factors)
    else:
        used, value = terms[at : at + 2], _combine(factors[0], terms[at + 1])
    left = [*terms[:at], (sign, (value,)), *terms[at + len(used) :]]
    return f"{render(used)}={value}", left


def _combine(value: int, term: Term) -> int:
    sign, factors = term
    return value + factors[0] if sign == "+" else value - factors[0]
