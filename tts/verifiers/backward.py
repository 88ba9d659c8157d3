"""Forward and backward reasoning: given an answer, can the model recover what was masked?

Source: FOBAR (Jiang et al. 2024, "Forward-Backward Reasoning in Large Language Models for
Mathematical Verification"). A number of the question is replaced by an unknown, and the model is
told the answer and asked for the unknown. The more often it finds the number that was there, the
more the answer counts, beside its votes. The words are our own, and no examples are shown.
"""

from __future__ import annotations

import math
import re
import string
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tts.errors import ConfigError
from tts.protocols import VerifierContext
from tts.seeds import SEED_BITS
from tts.types import Candidate, Capability, Problem, Request, Sampling, Trajectory
from tts.verifiers._asking import check_draws, reply
from tts.verifiers._contenders import Contender, contenders
from tts.verifiers._prm.together import together

QUESTION = (
    "In the text above a number has been replaced by {symbol}. The answer to its question is known:"
    " it is {answer}. What is the value of {symbol}? Reason step by step, and give the value of"
    " {symbol} as your final answer."
)

_NUMBER = re.compile(r"(?<![\w.,])[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?(?!\w|[.,][0-9])")
_SYMBOLS = "xyzwuvtsrqpnmk"


@dataclass(frozen=True)
class Mask:
    """A question in which a number has been replaced.

    Attributes:
        text: The question.
        symbol: What stands for the number.
        number: What stood there.
    """

    text: str
    symbol: str
    number: str


@dataclass(frozen=True)
class Backward:
    """Votes, times what can be recovered from each answer. Implements `tts.protocols.Selector`.

    An answer with the share P_f of the votes and Z recovered numbers weighs
    P_f^alpha P_b^(1 - alpha), where P_b is its share of all Z + epsilon. It takes `max_answers`
    times `max_numbers` times `samples` requests at most; fewer where there are fewer answers or
    numbers, and none for a single answer. Where nothing can be masked, as the question has no
    number in digits, the weights are the shares of the votes.

    Args:
        samples: Attempts for each answer and number, at least 1.
        max_numbers: Numbers that are masked, one at a time, at least 1: the last ones, as a prompt
            may begin with examples.
        max_answers: Answers that are checked, at least 2: those with the most votes. The others
            have recovered nothing.
        alpha: Weight of the votes, 0 to 1; 1 for votes alone.
        epsilon: Added to each number of recoveries, above 0, so that nothing is impossible.
        max_tokens: Cap on the tokens of an attempt, at least 1.
        temperature: Of the attempts, 0 to 2; above 0 if there are several.
        question: What the user asks below the masked question: {symbol} stands for the unknown,
            {answer} for the answer.
    """

    samples: int = 4
    max_numbers: int = 3
    max_answers: int = 4
    alpha: float = 0.5
    epsilon: float = 1e-8
    max_tokens: int = 512
    temperature: float = 0.7
    question: str = QUESTION
    requires: frozenset[Capability] = frozenset()
    asks: bool = True

    def __post_init__(self) -> None:
        for name, least in (("samples", 1), ("max_numbers", 1), ("max_answers", 2),
                            ("max_tokens", 1)):  # fmt: skip
            if (value := getattr(self, name)) < least:
                raise ConfigError(
                    f"strategy.selector.{name} is {value}; it must be at least {least}."
                )
        if not 0 <= self.alpha <= 1:
            raise ConfigError(f"strategy.selector.alpha is {self.alpha:g}; it must lie in [0, 1].")
        if not 0 < self.epsilon < math.inf:
            raise ConfigError(f"strategy.selector.epsilon is {self.epsilon:g}; it must be above 0.")
        check_draws("strategy.selector", "samples", self.samples, self.temperature)
        for place in ("{symbol}", "{answer}"):
            if place not in self.question:
                raise ConfigError(
                    f"strategy.selector.question does not say {place}.", hint=QUESTION
                )

    async def weigh(
        self, problem: Problem, candidates: Sequence[Candidate], ctx: VerifierContext
    ) -> list[float]:
        """One weight a candidate, 0 to 1, the same for equal answers; -inf for one without.

        Raises:
            BudgetExhausted: The budget cannot pay for all attempts.
            BackendError: The model did not reply.
        """
        field = contenders(candidates, len(candidates))
        found = masks(asked_text(problem), self.max_numbers)
        recovered = [0.0] * len(field)
        if len(field) > 1:
            checked = field[: self.max_answers]
            counts = await together(self._recovered(problem, c, found, ctx) for c in checked)
            recovered[: len(counts)] = counts
        alpha = self.alpha if found else 1.0
        shares = fobar([c.votes for c in field], recovered, alpha, self.epsilon)
        weights = {c.key: share for c, share in zip(field, shares, strict=True)}
        return [weights[c.answer.key] if c.answer else -math.inf for c in candidates]

    async def _recovered(
        self, problem: Problem, contender: Contender, found: Sequence[Mask], ctx: VerifierContext
    ) -> int:
        """How often the masked numbers are found again, given an answer."""
        tries = [(mask, sample) for mask in found for sample in range(self.samples)]
        hits = await together(self._hit(problem, contender, *one, ctx) for one in tries)
        return sum(hits)

    async def _hit(
        self, problem: Problem, contender: Contender, mask: Mask, sample: int, ctx: VerifierContext
    ) -> bool:
        rng = ctx.rng("backward", contender.key, mask.text, sample)
        request = Request(
            self._asked(problem, contender, mask),
            Trajectory.root(),
            sample,
            Sampling(temperature=self.temperature),
            self.max_tokens,
            seed=rng.getrandbits(SEED_BITS),
        )
        value = ctx.answers.extract((await reply(request, ctx)).text)
        if value is None:
            return False
        return await ctx.answers.key(value) == await ctx.answers.key(mask.number)

    def _asked(self, problem: Problem, contender: Contender, mask: Mask) -> Problem:
        answer = contender.candidate.answer
        assert answer is not None, "who has no answer is no contender"
        asked = self.question.replace("{symbol}", mask.symbol).replace("{answer}", answer.text)
        name, text = f"{problem.name}/backward", f"{mask.text}\n\n{asked}"
        if problem.prompt:
            return replace(problem, id=name, prompt=f"{text}\n\n")
        turns = list(problem.messages)
        last = _last_turn(problem)
        turns[last] = replace(turns[last], content=text)
        return replace(problem, id=name, messages=tuple(turns))


def fobar(
    votes: Sequence[int], recovered: Sequence[float], alpha: float, epsilon: float
) -> list[float]:
    """The weights of answers: their share of the votes times that of what was recovered.

    Args:
        votes: Of each answer, at least 1.
        recovered: Numbers recovered from each answer.
        alpha: Weight of the votes, 0 to 1.
        epsilon: Added to each of `recovered`, above 0.
    """
    forward = [count / sum(votes) for count in votes]
    total = math.fsum(recovered) + epsilon * len(recovered)
    backward = [(count + epsilon) / total for count in recovered]
    return [f**alpha * b ** (1 - alpha) for f, b in zip(forward, backward, strict=True)]


def asked_text(problem: Problem) -> str:
    """The text that is masked: the prompt, or the last turn of the user's."""
    return problem.prompt or problem.messages[_last_turn(problem)].content


def masks(text: str, most: int) -> list[Mask]:
    """A text with each of its last `most` numbers masked, one at a time.

    A number is one in digits that stands by itself: not the 2 of 2x, nor that of x2. The unknown is
    a letter that does not stand by itself in the text.
    """
    free = (s for s in _SYMBOLS + string.ascii_uppercase if not _stands(s, text))
    symbol = next(free, "[?]")
    numbers = list(_NUMBER.finditer(text))[-most:]
    return [Mask(text[: n.start()] + symbol + text[n.end() :], symbol, n[0]) for n in numbers]


def _stands(letter: str, text: str) -> bool:
    return re.search(rf"(?<![A-Za-z]){letter}(?![A-Za-z])", text, re.IGNORECASE) is not None


def _last_turn(problem: Problem) -> int:
    """Place of the last turn of the user's, or of the last of all if there is none."""
    users = [i for i, turn in enumerate(problem.messages) if turn.role == "user"]
    return users[-1] if users else len(problem.messages) - 1
