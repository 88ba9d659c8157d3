"""Generative verification: the judge writes a check of the answer, several times, and votes.

Source: GenRM-CoT (Zhang et al. 2024, "Generative Verifiers: Reward Modeling as Next-Token
Prediction"), which averages over checks written in words. Theirs reads the probability of a yes
behind each check; this counts the verdicts that the checks end in, and so asks for text alone, of
a model that nobody has trained for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tts.errors import ConfigError, VerifierError
from tts.protocols import VerifierContext
from tts.seeds import SEED_BITS
from tts.types import Capability, Problem, Request, Sampling, Score, Segment, Trajectory, Usage
from tts.verifiers._asking import HIDDEN, behind, check_draws, cost, needed, reply
from tts.verifiers._prm.together import together

QUESTION = (
    "Check the solution above: go through it step by step, work out each step anew, and look for"
    " the first mistake. On the last line write 'Verdict: yes' if its final answer is right, and"
    " 'Verdict: no' if it is wrong."
)
VERDICT = r"verdict\W*(?:(?P<yes>yes)|no)\b"
CLOSING = "\n\nVerdict:"

_WORDS = 8  # tokens of a verdict behind the closing


@dataclass(frozen=True)
class Generative:
    """The share of checks that end in a yes, as a probability.

    Checks are drawn with seeds from the answer's text, so equal answers have equal checks. Small
    models check, and do not conclude: one that was cut off, or never came to a verdict, is closed
    by `closing`, behind which the model has a few tokens for the likeliest word, if the backend can
    continue answers. What cannot be read then does not count; if that is so for all of them it is
    an error.

    Args:
        votes: Checks of each answer, at least 1.
        max_tokens: Cap on the tokens of a check, at least 1.
        temperature: Of the checks, 0 to 2; above 0 if there are several.
        question: What the user asks.
        lead: How each check has been begun; empty for not at all.
        closing: Text behind a check without a verdict, which the verdict completes; empty to leave
            such a check out.
        verdict: Regular expression of a verdict, whatever the case; the last one in a check counts,
            and is a yes if its group `yes` took part.
        hidden: Text that is left out of what is shown, such as the end of thinking; empty for none.
    """

    votes: int = 4
    max_tokens: int = 512
    temperature: float = 0.7
    question: str = QUESTION
    lead: str = ""
    closing: str = CLOSING
    verdict: str = VERDICT
    hidden: str = HIDDEN
    partial: bool = False

    def __post_init__(self) -> None:
        for name in ("votes", "max_tokens"):
            if (value := getattr(self, name)) < 1:
                raise ConfigError(f"verifier.{name} is {value}; it must be at least 1.")
        check_draws("verifier", "votes", self.votes, self.temperature)
        _compiled(self.verdict)

    @property
    def requires(self) -> frozenset[Capability]:
        """Continuation, if checks have been begun."""
        return needed(self.lead)

    def identity(self) -> Mapping[str, Any]:
        """What is asked, how often, and how the verdict is read; who is asked is the run's."""
        names = ("votes", "max_tokens", "temperature", "question", "lead", "verdict", "hidden")
        settings = {name: getattr(self, name) for name in (*names, "closing")}
        return {"verifier": "generative", **settings}

    def bound(self, problem: Problem, tokens: int, ctx: VerifierContext) -> Usage:
        """One call: `votes` times the question, the answer, and a check of `max_tokens`.

        With a `closing` all of that is read once more, behind which a verdict is written.
        """
        asked, start = self._asked(problem, Trajectory.root())
        each = cost(ctx.backend, asked, start, tokens, self.max_tokens)
        if self._closes(ctx):
            closed = self._closed(start, "")
            each += cost(ctx.backend, asked, closed, tokens + self.max_tokens, _WORDS)
        return replace(sum([each] * self.votes, Usage()), verifier_calls=1)

    async def score(
        self, problem: Problem, trajectories: Sequence[Trajectory], ctx: VerifierContext
    ) -> list[Score]:
        """One probability a trajectory: the share of yes among the readable verdicts.

        Raises:
            BudgetExhausted: The budget cannot pay for all of them.
            BackendError: The model did not reply.
            VerifierError: None of an answer's verdicts could be read.
        """
        return await together([self._one(problem, node, ctx) for node in trajectories])

    async def _one(self, problem: Problem, trajectory: Trajectory, ctx: VerifierContext) -> Score:
        checks = await together(self._check(problem, trajectory, v, ctx) for v in range(self.votes))
        verdicts = [self._verdict(check) for check in checks]
        readable = [verdict for verdict in verdicts if verdict is not None]
        if not readable:
            raise VerifierError(
                f"None of {self.votes} checks by {ctx.backend.model.name} came to a verdict; one"
                f" ended in {checks[0][-60:]!r}.",
                hint="Raise verifier.max_tokens, or take a model that follows instructions.",
            )
        return Score(sum(readable) / len(readable), "probability")

    async def _check(
        self, problem: Problem, trajectory: Trajectory, vote: int, ctx: VerifierContext
    ) -> str:
        """One check, with a verdict if it can be had."""
        asked, start = self._asked(problem, trajectory)
        seed = ctx.rng("generative", trajectory.text, vote).getrandbits(SEED_BITS)
        sampling = Sampling(temperature=self.temperature)
        check = await reply(Request(asked, start, vote, sampling, self.max_tokens, seed=seed), ctx)
        if self._verdict(check.text) is not None or not self._closes(ctx):
            return check.text
        closed = self._closed(start, check.text)
        greedy = Sampling(temperature=0.0)
        said = await reply(Request(asked, closed, vote, greedy, _WORDS, seed=seed), ctx)
        return check.text + self.closing + said.text

    def _closes(self, ctx: VerifierContext) -> bool:
        return bool(self.closing) and Capability.CONTINUATION in ctx.backend.capabilities

    def _closed(self, start: Trajectory, check: str) -> Trajectory:
        """A reply up to where the verdict is to stand."""
        # As text: the model's own tokens may end in one that ends a turn.
        text = Segment(check + self.closing, origin="injected")
        return start.extend(text, child=0, clock=start.clock)

    def _verdict(self, text: str) -> bool | None:
        """Whether a check says yes; None if that cannot be read."""
        found = list(_compiled(self.verdict).finditer(text))
        return found[-1]["yes"] is not None if found else None

    def _asked(self, problem: Problem, trajectory: Trajectory) -> tuple[Problem, Trajectory]:
        return behind(problem, trajectory, self.question, self.lead, self.hidden)


def _compiled(verdict: str) -> re.Pattern[str]:
    """The pattern of a verdict.

    Raises:
        ConfigError: It is no regular expression, or has no group `yes`.
    """
    try:
        pattern = re.compile(verdict, re.IGNORECASE)
    except re.error as error:
        why = f"which is no regular expression: {error}"
        raise ConfigError(f"verifier.verdict is {verdict!r}, {why}.", hint=_EXAMPLE) from error
    if "yes" not in pattern.groupindex:
        message = f"verifier.verdict is {verdict!r}, which has no group named yes."
        raise ConfigError(message, hint=_EXAMPLE)
    return pattern


_EXAMPLE = f"An example is {VERDICT}"
