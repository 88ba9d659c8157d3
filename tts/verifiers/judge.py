"""A language model as a judge: it grades an answer, or the last step of one, in a single token.

Sources: the expected grade over the probabilities of the tokens is that of G-Eval (Liu et al.
2023); graded from 0 to 9 for its last step, an answer is judged as in SpecReason (Pan et al. 2025).
The words are our own. A conversation goes on behind the answer: a user asks for a grade, and the
model's reply has been begun, so that its next token is the grade. It sees what the policy wrote,
and not the right answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from tts.errors import ConfigError
from tts.protocols import VerifierContext
from tts.types import Capability, Problem, Score, Trajectory, Usage
from tts.verifiers._asking import HIDDEN, behind, cost
from tts.verifiers._labels import FLOOR, Labels, Reading
from tts.verifiers._prm.together import together

Subject = Literal["answer", "step"]

DIGITS = tuple("0123456789")

_QUESTIONS = {
    "answer": "Check the solution above. Is its final answer right? Judge nothing but whether it is"
    " right, not its style.",
    "step": "Look at the last step of the work so far. Is it right, and does it help to solve the"
    " problem? Judge nothing but whether it is right, not its style.",
}
_LEADS = {
    "answer": "I give this solution the grade ",
    "step": "I give the last step the grade ",
}
_WORD_LEAD = "Answer:"  # behind it a word comes with its space, and a digit would not


@dataclass(frozen=True)
class Judge:
    """The grade of an answer as a probability: 0 for the worst label, 1 for the best.

    It is asked of the policy, or of `Setup.verifier_backend`: a model that follows instructions. A
    reply that is none of the labels is an error, in either reading. As a grade of 0 it would rank
    answers by nothing, and nobody would see that the judge is of no use.

    Args:
        subject: What is judged: the whole `answer`, or its last `step`, which may be unfinished
            work. It decides what is asked unless `question` and `lead` do.
        reading: `expectation` takes the mean of the labels among the twenty likeliest tokens, by
            their probabilities: fine-grained, but it needs a backend that knows tokens and their
            ids. `greedy` takes the likeliest token.
        labels: Grades from the worst to the best, evenly spaced, each one token of the model's.
        floor: For `expectation`: least probability of all labels together, 0 to 1.
        question: What the user asks, without the request for a label; None for the usual words.
        lead: How the reply has been begun; None for the usual words.
        hidden: Text that is left out of what is shown, such as the end of thinking; empty for none.
    """

    subject: Subject = "answer"
    reading: Reading = "expectation"
    labels: Sequence[str] = DIGITS
    floor: float = FLOOR
    question: str | None = None
    lead: str | None = None
    hidden: str = HIDDEN

    def __post_init__(self) -> None:
        if self.subject not in get_args(Subject):
            raise ConfigError(
                f"verifier.subject is {self.subject!r}.", hint=f"Take one of {get_args(Subject)}."
            )
        self._labels  # noqa: B018 - refuses what it cannot use

    @property
    def partial(self) -> bool:
        """Whether it is steps that it judges."""
        return self.subject == "step"

    @property
    def requires(self) -> frozenset[Capability]:
        """Continuation, for the reply that has been begun; for `expectation` log-probabilities."""
        return self._labels.requires(self._lead)

    def identity(self) -> Mapping[str, Any]:
        """What is asked, and how the reply is read; who is asked is the run's business."""
        words = {"question": self._question, "lead": self._lead, "hidden": self.hidden}
        reading = {"reading": self.reading, "labels": list(self.labels)}
        return {"verifier": "judge", **reading, **words}

    def bound(self, problem: Problem, tokens: int, ctx: VerifierContext) -> Usage:
        """One call: the question, an answer of up to `tokens` tokens, and a token in reply."""
        asked, start = self._asked(problem, Trajectory.root())
        return replace(cost(ctx.backend, asked, start, tokens, 1), verifier_calls=1)

    async def score(
        self, problem: Problem, trajectories: Sequence[Trajectory], ctx: VerifierContext
    ) -> list[Score]:
        """One probability a trajectory.

        Raises:
            BudgetExhausted: The budget cannot pay for all of them.
            BackendError: The model did not reply.
            VerifierError: It replied with something else than a label, or the backend cannot say
                what its tokens are.
        """
        asked = [self._asked(problem, node) for node in trajectories]
        grades = await together([self._labels.ask(*question, ctx) for question in asked])
        return [Score(min(1.0, grade), "probability") for grade in grades]

    def _asked(self, problem: Problem, trajectory: Trajectory) -> tuple[Problem, Trajectory]:
        return behind(problem, trajectory, self._question, self._lead, self.hidden)

    @property
    def _labels(self) -> Labels:
        return Labels(self.labels, self.reading, self.floor, "verifier")

    @property
    def _question(self) -> str:
        asked = _QUESTIONS[self.subject] if self.question is None else self.question
        return f"{asked} {self._request}"

    @property
    def _request(self) -> str:
        worst, *_, best = self.labels
        if all(label.isdigit() for label in self.labels):
            return f"Reply with one digit, from {worst} (wrong) to {best} (certainly right)."
        return f"Reply with one word, from the worst to the best: {', '.join(self.labels)}."

    @property
    def _lead(self) -> str:
        if self.lead is not None:
            return self.lead
        digits = all(label.isdigit() for label in self.labels)
        return _LEADS[self.subject] if digits else _WORD_LEAD
