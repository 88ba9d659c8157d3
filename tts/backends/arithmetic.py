r"""A simulated model that answers arithmetic: for trying things out, never for claims about models.

It reads the last expression of a prompt (`47+6*8-29=`), works it out, and then decides by chance
whether to write the right result or one of a few wrong ones. Problems differ in difficulty, wrong
answers agree with each other now and then, and right ones are written with a little more
confidence, so that votes and likelihoods have something to find. Figures made with it must say
`simulated`.
"""

from __future__ import annotations

import ast
import asyncio
import math
import operator
import random
import re
from collections.abc import Mapping
from typing import Any

from tts.backends.prices import Prices, read_prices
from tts.backends.simulated import SimulatedBackend, Step, VirtualClock
from tts.errors import ConfigError
from tts.seeds import derive
from tts.types import ModelInfo, Problem, Trajectory

_EXPRESSION = re.compile(r"\d[\d+*\- ()]*(?=\s*=|\s*$)")
_OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}
_WRONG = (10, -10, 1, -1, 2, 100)  # slips of the pen; earlier ones are likelier


class WallClock(VirtualClock):
    """Real time, for a backend that is to be watched, or killed, at work."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


def simulated_arithmetic(
    accuracy: float = 0.6,
    spread: float = 0.25,
    tokens: int = 80,
    seconds_per_token: float = 0.0,
    slots: int | None = None,
    context: int = 4096,
    prices: Prices | Mapping[str, Any] | None = None,
) -> SimulatedBackend:
    """A backend that simulates a model of a given accuracy.

    Args:
        accuracy: Mean chance of a right answer, 0 to 1.
        spread: How far the chance of a single problem lies from the mean, 0 to 0.5.
        tokens: Mean length of an answer, at least 40; lengths vary by half of it to both sides.
        seconds_per_token: Real time that a token takes (s), 0 for none.
        slots: Most answers written at once; None for no limit.
        context: Most tokens of prompt and answer.
        prices: What it is taken to cost, see `tts.backends.prices`.

    Raises:
        ConfigError: An argument lies outside its range.
    """
    for name, value, low, high in (
        ("accuracy", accuracy, 0.0, 1.0),
        ("spread", spread, 0.0, 0.5),
        ("tokens", tokens, 40, math.inf),
        ("seconds_per_token", seconds_per_token, 0.0, math.inf),
        ("slots", 1 if slots is None else slots, 1, math.inf),
        ("context", context, 20, math.inf),
    ):
        if not low <= value <= high:
            raise ConfigError(f"backend.{name} is {value}; it must lie in [{low:g}, {high:g}].")

    def simulate(problem: Problem, node: Trajectory, seed: int) -> Step:
        rng = random.Random(derive(seed, problem.id))
        truth = work_out(_text(problem))
        chance = accuracy + random.Random(derive(0, problem.id)).uniform(-spread, spread)
        right = rng.random() < chance
        slip = rng.choices(_WRONG, (6, 5, 3, 3, 2, 1))[0]
        length = rng.randint(tokens - tokens // 2, tokens + tokens // 2)
        logprob = -rng.expovariate(1 / (0.15 if right else 0.3))
        text = _rest(node.text, truth if right else truth + slip, length)
        return Step(text, len(text), True, len(text) * seconds_per_token, logprob)

    info = ModelInfo("simulated", active_params=1_000_000, context=context)
    model = read_prices(prices).on(info)
    clock = WallClock() if seconds_per_token else None
    settings = {"accuracy": accuracy, "spread": spread, "tokens": tokens}
    return SimulatedBackend(simulate, model, clock, slots, settings=settings)


def _rest(written: str, answer: int, length: int) -> str:
    """What is still to be written. A token is a character, so that any cut can be continued."""
    if written.endswith("{"):
        return f"{answer}}}"
    end = f"\n\n\\boxed{{{answer}}}"
    thoughts = ("Let me think. " * (length // 14 + 1))[: max(0, length - len(end))]
    return (thoughts + end)[len(written) :] or end


def work_out(text: str) -> int:
    """The value of the last sum or product in a text, or a number made from the text if none."""
    found = _EXPRESSION.findall(text)
    try:
        return _value(ast.parse(found[-1].strip(), mode="eval").body)
    except (IndexError, SyntaxError, TypeError):
        return derive(0, text) % 1000


def _value(node: ast.expr) -> int:
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return int(_OPERATORS[type(node.op)](_value(node.left), _value(node.right)))
    raise TypeError("no sum or product of whole numbers")


def _text(problem: Problem) -> str:
    return problem.prompt or problem.messages[-1].content
