"""An answer reached in words, checked by a program: a model writes the same solution as code.

Source: CoTnPoT (Liang et al. 2024, "Improving LLM Reasoning through Scaling Inference Computation
with Collaborative Verification"): each chain of thought is translated into a program, and kept if
that arrives at the answer which the chain states. The words are our own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from tts.errors import ConfigError, SandboxError, VerifierError
from tts.protocols import VerifierContext
from tts.sandbox import Limits, Outcome, Sandbox
from tts.sandbox.programs import output
from tts.sandbox.source import program_in
from tts.types import Capability, Problem, Request, Sampling, Score, Trajectory, Usage
from tts.verifiers._asking import HIDDEN, behind, cost, needed, reply
from tts.verifiers._prm.together import together

QUESTION = (
    "Write this solution as a Python program that follows its steps, computes every value from the"
    " numbers in the problem instead of stating results, and prints the final answer and nothing"
    " else. Reply with the program in one fenced code block."
)


@dataclass(frozen=True)
class ProgramAgreement:
    """Whether a program of the solution prints the answer that it states: 1 or 0.

    The program is asked of the policy, or of `Setup.verifier_backend`: a model that writes code. It
    runs in a sandbox (`tts.sandbox`). Two answers agree if they have the same key in the task's
    format, so that votes and agreement mean the same.

    Args:
        broken: The score where the model wrote no program, or one that fails or prints nothing: it
            says little of the answer. 0 to 1.
        max_tokens: Cap on the tokens of a program, at least 1.
        question: What the user asks.
        lead: How the reply has been begun, such as the fence of the program; empty for not at all.
        hidden: Text that is left out of what is shown, such as the end of thinking; empty for none.
        limits: What a program may use.

    Raises:
        ConfigError: There is no sandbox on this machine, or a field cannot be used.
    """

    broken: float = 0.0
    max_tokens: int = 512
    question: str = QUESTION
    lead: str = ""
    hidden: str = HIDDEN
    limits: Limits = field(default_factory=Limits)
    partial: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.broken <= 1:
            raise ConfigError(
                f"verifier.broken is {self.broken:g}; it must lie in [0, 1].",
                hint="Set verifier.broken=0.",
            )
        if self.max_tokens < 1:
            raise ConfigError(
                f"verifier.max_tokens is {self.max_tokens}; it must be at least 1.",
                hint="Set verifier.max_tokens=512.",
            )
        Sandbox(self.limits)  # refused here, before anything is spent

    @property
    def requires(self) -> frozenset[Capability]:
        """Continuation, if the reply has been begun."""
        return needed(self.lead)

    def identity(self) -> Mapping[str, Any]:
        """What is asked, and how programs run; who is asked is the run's business."""
        names = ("broken", "max_tokens", "question", "lead", "hidden")
        settings = {name: getattr(self, name) for name in names}
        return {"verifier": "program_agreement", **settings, "limits": asdict(self.limits)}

    def bound(self, problem: Problem, tokens: int, ctx: VerifierContext) -> Usage:
        """One call: the question, an answer of up to `tokens` tokens, and the longest program."""
        asked, start = self._asked(problem, Trajectory.root())
        whole = cost(ctx.backend, asked, start, tokens, self.max_tokens)
        return replace(whole, verifier_calls=1)

    async def score(
        self, problem: Problem, trajectories: Sequence[Trajectory], ctx: VerifierContext
    ) -> list[Score]:
        """One probability a trajectory; 0 for one without an answer, of which nothing is asked.

        Raises:
            BudgetExhausted: The budget cannot pay for all of them.
            BackendError: The model did not reply.
            VerifierError: The sandbox does not work.
        """
        try:
            return await together([self._one(problem, node, ctx) for node in trajectories])
        except SandboxError as error:
            raise VerifierError(error.message, hint=error.hint) from error

    async def _one(self, problem: Problem, trajectory: Trajectory, ctx: VerifierContext) -> Score:
        stated = ctx.answers.extract(trajectory.text)
        if stated is None:
            return Score(0.0, "probability")
        program = await self._program(problem, trajectory, ctx)
        outcome = None if program is None else await output(program, Sandbox(self.limits))
        printed = None if outcome is None else _printed(outcome, ctx)
        if printed is None:
            return Score(self.broken, "probability")
        same = await ctx.answers.key(printed) == await ctx.answers.key(stated)
        return Score(float(same), "probability")

    async def _program(
        self, problem: Problem, trajectory: Trajectory, ctx: VerifierContext
    ) -> str | None:
        """The solution as a program, in the likeliest words; None if the model wrote none."""
        asked, start = self._asked(problem, trajectory)
        greedy = Sampling(temperature=0.0)
        said = await reply(Request(asked, start, 0, greedy, self.max_tokens, seed=0), ctx)
        return program_in(self.lead + said.text)

    def _asked(self, problem: Problem, trajectory: Trajectory) -> tuple[Problem, Trajectory]:
        return behind(problem, trajectory, self.question, self.lead, self.hidden)


def _printed(outcome: Outcome, ctx: VerifierContext) -> str | None:
    """The result of a program: the answer in what it printed, or else the last line of that."""
    text = outcome.stdout.decode(errors="replace").strip()
    if outcome.code != 0 or not text:
        return None
    return ctx.answers.extract(text) or text.splitlines()[-1].strip()
