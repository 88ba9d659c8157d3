r"""A language model as a teacher: it grades the last step of an answer from 0 to 9, in one token.

Source: the judge of SpecReason (Pan et al. 2025). The words are our own. A conversation goes on
behind the unfinished answer: a user asks for a grade, and the model's reply has been begun, so that
its next token is the digit. The prefix of all grades of a chain is the chain itself, which the
engine has in its cache.

The text that closes a thinking part is left out of what is shown: many chat templates drop all that
was thought in earlier turns, and with it the steps that are to be graded. Behind a plain prompt,
which no template turns into a conversation, the question follows the answer as text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from tts.errors import ConfigError, VerifierError
from tts.protocols import KnowsWords, VerifierContext
from tts.types import (
    Capability,
    Message,
    Problem,
    Request,
    Sampling,
    Score,
    Segment,
    Trajectory,
    Usage,
)
from tts.verifiers._prm.together import together

Reading = Literal["greedy", "expectation"]

QUESTION = (
    "Look at the last step of the work so far. Is it right, and does it help to solve the problem?"
    " Judge nothing but whether it is right, not its style. Reply with one digit, from 0 (wrong or"
    " useless) to 9 (certainly right)."
)
LEAD = "I give the last step the grade "

_TOP = 10
_MARGIN = 2  # tokens that another way of cutting a text may make of one


@dataclass(frozen=True)
class Grade:
    """The grade of an answer's last step, as a probability: a ninth for each point.

    It is asked of the policy, or of `Setup.verifier_backend`: a model that follows instructions.

    Args:
        reading: `greedy` takes the likeliest token, and a grade of 0 if that is no digit.
            `expectation` takes the mean of the digits among the ten likeliest tokens by their
            probabilities: finer, but it needs a backend that knows tokens and their ids.
        question: What the user asks.
        lead: How the reply has been begun.
        hidden: Text that is left out of what is shown, such as the end of thinking; empty for none.
    """

    reading: Reading = "greedy"
    question: str = QUESTION
    lead: str = LEAD
    hidden: str = "</think>"
    partial: bool = True

    def __post_init__(self) -> None:
        if self.reading not in get_args(Reading):
            raise ConfigError(
                f"verifier.reading is {self.reading!r}.", hint=f"Take one of {get_args(Reading)}."
            )

    @property
    def requires(self) -> frozenset[Capability]:
        """Continuation, for the reply that has been begun; for `expectation` log-probabilities."""
        more = {Capability.LOGPROBS} if self.reading == "expectation" else set()
        return frozenset({Capability.CONTINUATION} | more)

    def identity(self) -> Mapping[str, Any]:
        """What is asked, and how the reply is read; who is asked is the run's business."""
        words = {"question": self.question, "lead": self.lead, "hidden": self.hidden}
        return {"verifier": "grade", "reading": self.reading, **words}

    def bound(self, problem: Problem, tokens: int, ctx: VerifierContext) -> Usage:
        """One call: the question, an answer of up to `tokens` tokens, and a token in reply."""
        asked, start = self._asked(problem, Trajectory.root())
        model = ctx.backend.model
        prompt = ctx.backend.prompt_tokens(asked, start) + _MARGIN * tokens
        usage = model.usage(min(prompt, model.context - 1), 0, 1)
        return replace(usage.as_verifier(), verifier_calls=1)

    async def score(
        self, problem: Problem, trajectories: Sequence[Trajectory], ctx: VerifierContext
    ) -> list[Score]:
        """One probability a trajectory: its grade, divided by 9.

        Raises:
            BudgetExhausted: The budget cannot pay for all of them.
            BackendError: The model did not reply.
            VerifierError: The backend cannot say what its tokens are.
        """
        return await together([self._one(problem, node, ctx) for node in trajectories])

    async def _one(self, problem: Problem, trajectory: Trajectory, ctx: VerifierContext) -> Score:
        asked, start = self._asked(problem, trajectory)
        top = _TOP if self.reading == "expectation" else None
        request = Request(
            asked, start, sampling=Sampling(temperature=0.0), max_tokens=1, logprobs=top, seed=0
        )
        async with ctx.backend.open(request) as stream:
            async for _ in stream:
                pass
        reply = stream.trajectory.segment
        assert reply is not None, "a decode has made a segment"
        grade = _digit(reply.text) or 0 if top is None else _expected(reply, ctx)
        return Score(grade / 9, "probability")

    def _asked(self, problem: Problem, trajectory: Trajectory) -> tuple[Problem, Trajectory]:
        """The question as a problem, and the reply as far as it has been begun."""
        lead = Segment(self.lead, origin="injected")
        if problem.prompt:
            asking = replace(lead, text=f"\n\n{self.question}\n\n{self.lead}")
            return problem, trajectory.extend(asking, child=-1, clock=trajectory.clock)
        shown = trajectory.text.replace(self.hidden, "") if self.hidden else trajectory.text
        turns = (Message("assistant", shown), Message("user", self.question))
        asked = Problem(f"{problem.name}/grade", messages=(*problem.messages, *turns))
        start = Trajectory.root(clock=trajectory.clock)
        return asked, start.extend(lead, child=0, clock=start.clock)


def _digit(text: str) -> int | None:
    """The digit that a token is; None for all others."""
    bare = text.strip()
    return int(bare) if len(bare) == 1 and bare in "0123456789" else None


def _expected(reply: Segment, ctx: VerifierContext) -> float:
    """The mean digit among the likeliest tokens; 0 if there is none among them.

    Raises:
        VerifierError: Nobody knows which tokens are digits.
    """
    backend = ctx.backend
    tops = reply.top_logprobs[0] if reply.top_logprobs else {}
    words = {i: backend.word(i) if isinstance(backend, KnowsWords) else "" for i in tops}
    if tops and not any(words.values()):
        raise VerifierError(
            f"The backend of {backend.model.name} does not know what its tokens are.",
            hint="Set verifier.reading=greedy.",
        )
    chances = [(_digit(words[i]), math.exp(value)) for i, value in tops.items()]
    digits = [(digit, chance) for digit, chance in chances if digit is not None]
    total = math.fsum(chance for _, chance in digits)
    return math.fsum(digit * chance for digit, chance in digits) / total if total else 0.0
