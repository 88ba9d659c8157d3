"""A tournament of answers: a language model compares them two by two, in both orders.

Source: pairwise comparison by a model, with the order swapped because judges favour places (Zheng
et al. 2023, "Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena"). The words are our own. Each
distinct answer takes part once, so that what many candidates say is read once.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from tts.errors import ConfigError
from tts.protocols import VerifierContext
from tts.types import Candidate, Capability, Problem
from tts.verifiers._asking import HIDDEN, afresh, question_of, shown
from tts.verifiers._contenders import Contender, contenders
from tts.verifiers._labels import FLOOR, Labels, Reading
from tts.verifiers._prm.together import together

Kind = Literal["round_robin", "knockout"]
Match = Callable[[Contender, Contender], Coroutine[Any, Any, float]]
"""The chance that the first of two is the better one, 0 to 1."""

QUESTION = (
    "Which of the two solutions is more likely to have the right final answer? Judge nothing but"
    " whether it is right, not its style or length. Reply with one letter: A or B."
)
LEAD = "The better solution is Solution"


@dataclass(frozen=True)
class Tournament:
    """The answer that a judge prefers to the others wins. Implements `tts.protocols.Selector`.

    A comparison is two requests of one token, one in each order; their mean is free of a liking for
    a place. Of k answers, `round_robin` makes k (k - 1) / 2 comparisons, with `rounds` at most
    k / 2 in each of them; `knockout` makes k - 1. A single answer is compared with nothing.

    Args:
        kind: `round_robin`: all meet all, and an answer weighs as much as the mean of its chances
            to be the better one. `knockout`: who is worse is out, and an answer weighs the share of
            rounds that it lasted; who sits out a round lasts.
        rounds: For `round_robin`: rounds, at least 1, in which the answers are paired at random, no
            pair twice and nobody twice in a round; None for as many as it takes. An answer that
            has met nobody weighs 1/2.
        max_answers: Answers that take part, at least 2: those with the most votes. The others
            cannot be chosen.
        reading: `expectation` reads the probabilities of the two letters, `greedy` takes the
            likelier letter. See `Judge`.
        floor: For `expectation`: least probability of both letters together, 0 to 1.
        question: What the user asks below the two solutions; names them A and B.
        lead: How the reply has been begun.
        hidden: Text that is left out of what is shown, such as the end of thinking; empty for none.
    """

    kind: Kind = "round_robin"
    rounds: int | None = None
    max_answers: int = 8
    reading: Reading = "expectation"
    floor: float = FLOOR
    question: str = QUESTION
    lead: str = LEAD
    hidden: str = HIDDEN
    asks: bool = True

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ConfigError(
                f"strategy.selector.kind is {self.kind!r}.", hint=f"Take one of {get_args(Kind)}."
            )
        if self.rounds is not None and (self.rounds < 1 or self.kind == "knockout"):
            raise ConfigError(
                f"strategy.selector.rounds is {self.rounds} with kind={self.kind}; it must be at"
                " least 1, and is for round_robin alone.",
                hint="Set strategy.selector.rounds=null.",
            )
        if self.max_answers < 2:
            raise ConfigError(
                f"strategy.selector.max_answers is {self.max_answers}; it must be at least 2."
            )
        self._letters  # noqa: B018 - refuses what it cannot use

    @property
    def requires(self) -> frozenset[Capability]:
        """Continuation, for the reply that has been begun; for `expectation` log-probabilities."""
        return self._letters.requires(self.lead)

    async def weigh(
        self, problem: Problem, candidates: Sequence[Candidate], ctx: VerifierContext
    ) -> list[float]:
        """One weight a candidate, 0 to 1; -inf for one without an answer that takes part.

        Raises:
            BudgetExhausted: The budget cannot pay for all comparisons.
            BackendError: The model did not reply.
            VerifierError: It replied with something else than a letter.
        """
        field = contenders(candidates, self.max_answers)
        rng = ctx.rng("tournament", *(c.key for c in field))
        rng.shuffle(field)

        async def match(one: Contender, other: Contender) -> float:
            return await self._compare(problem, one, other, ctx)

        if self.kind == "knockout":
            weights = await _knockout(field, match, rng)
        else:
            weights = await _round_robin(field, match, self.rounds)
        return [weights.get(c.answer.key, -math.inf) if c.answer else -math.inf for c in candidates]

    async def _compare(
        self, problem: Problem, one: Contender, other: Contender, ctx: VerifierContext
    ) -> float:
        first, second = await together(
            self._letters.ask(*afresh(problem, self._shown(problem, a, b), self.lead), ctx)
            for a, b in ((one, other), (other, one))
        )
        return (first + 1 - second) / 2

    def _shown(self, problem: Problem, a: Contender, b: Contender) -> str:
        said = [shown(c.candidate.trajectory, self.hidden).strip() for c in (a, b)]
        return (
            f"Problem:\n{question_of(problem)}\n\nSolution A:\n{said[0]}\n\n"
            f"Solution B:\n{said[1]}\n\n{self.question}"
        )

    @property
    def _letters(self) -> Labels:
        return Labels(("B", "A"), self.reading, self.floor, "strategy.selector")


def pairings(n: int, rounds: int | None = None) -> list[list[tuple[int, int]]]:
    """Who meets whom, round by round: no pair twice, nobody twice in a round.

    The circle method: one stays seated while the others move on by one place.

    Args:
        n: Number of those who take part, at least 0.
        rounds: Most rounds; None for all, in which everybody meets everybody.
    """
    seats = list(range(n + n % 2))  # of an odd number one sits out: whoever meets the empty seat
    every = max(0, len(seats) - 1)
    found = []
    for _ in range(every if rounds is None else min(rounds, every)):
        facing = zip(seats[: len(seats) // 2], reversed(seats), strict=False)
        found.append([pair for pair in facing if max(pair) < n])
        seats = [seats[0], seats[-1], *seats[1:-1]]
    return found


async def _round_robin(
    field: Sequence[Contender], match: Match, rounds: int | None
) -> dict[str, float]:
    """The mean chance of each to be the better one; 1/2 for who has met nobody."""
    pairs = [pair for paired in pairings(len(field), rounds) for pair in paired]
    chances = await together([match(field[i], field[j]) for i, j in pairs])
    won: list[list[float]] = [[] for _ in field]
    for (i, j), chance in zip(pairs, chances, strict=True):
        won[i].append(chance)
        won[j].append(1 - chance)
    means = [math.fsum(one) / len(one) if one else 0.5 for one in won]
    return {c.key: mean for c, mean in zip(field, means, strict=True)}


async def _knockout(
    field: Sequence[Contender], match: Match, rng: random.Random
) -> dict[str, float]:
    """The share of rounds that each lasted; 1 for the winner."""
    lasted = dict.fromkeys((c.key for c in field), 0)
    left, played = list(field), 0
    while len(left) > 1:
        pairs = list(zip(left[::2], left[1::2], strict=False))
        chances = await together([match(*pair) for pair in pairs])
        idle = left[len(pairs) * 2 :]  # to the front: nobody sits out twice in a row
        left = idle + [_better(*p, chance, rng) for p, chance in zip(pairs, chances, strict=True)]
        played += 1
        for winner in left:
            lasted[winner.key] += 1
    return {key: rounds / played if played else 1.0 for key, rounds in lasted.items()}


def _better(one: Contender, other: Contender, chance: float, rng: random.Random) -> Contender:
    """Who goes on: of two equals who has more votes, or else either."""
    if chance == 0.5:
        chance = 0.5 + one.votes - other.votes
    if chance == 0.5:
        return rng.choice((one, other))
    return one if chance > 0.5 else other
