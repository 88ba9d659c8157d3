"""Programs as answers, judged by the tests that a problem shows: how many of them pass.

Source: the public tests that AlphaCode filters its samples by (Li et al. 2022, "Competition-Level
Code Generation with AlphaCode"), each counted by itself. The tests that a task grades by are not
among them: they lie beside the problem, and no verifier sees them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tts.errors import ConfigError, SandboxError, VerifierError
from tts.protocols import VerifierContext
from tts.sandbox import Limits, Sandbox
from tts.sandbox.programs import passes
from tts.sandbox.source import pieces
from tts.types import Capability, Problem, Score, Trajectory, Usage
from tts.verifiers._given import given
from tts.verifiers._prm.together import together


@dataclass(frozen=True)
class ProgramTests:
    """The share of a problem's visible tests that a program passes; 0 for no program.

    Each test is run with the program in a sandbox of its own (`tts.sandbox`), so that one which
    never ends fails alone. Costs no token.

    Args:
        tests: Field of the problem's metadata with the tests: a Python program, or a list of them.
        prompt: Field with what an answer continues or defines anew; empty if there is none.
        entry_point: Field with the name of a function which each test gets through a call
            `check(<entry point>)`, as in HumanEval; empty if there is none.
        limits: What a program may use with each test.

    Raises:
        ConfigError: There is no sandbox on this machine.
    """

    tests: str = "tests"
    prompt: str = ""
    entry_point: str = ""
    limits: Limits = field(default_factory=Limits)
    requires: frozenset[Capability] = frozenset()
    partial: bool = False

    def __post_init__(self) -> None:
        if not self.tests:
            raise ConfigError("verifier.tests is empty.", hint="Name a field of the metadata.")
        Sandbox(self.limits)  # refused here, before anything is spent

    def identity(self) -> Mapping[str, Any]:
        """Where the tests stand, and the limits."""
        fields = {"tests": self.tests, "prompt": self.prompt, "entry_point": self.entry_point}
        return {"verifier": "program_tests", **fields, "limits": asdict(self.limits)}

    def bound(self, problem: Problem, tokens: int, ctx: VerifierContext) -> Usage:
        """A call, and nothing else.

        Raises:
            ConfigError: The problem shows no tests.
        """
        self._tests(problem)
        return Usage(verifier_calls=1)

    async def score(
        self, problem: Problem, trajectories: Sequence[Trajectory], ctx: VerifierContext
    ) -> list[Score]:
        """One probability a trajectory: the share of tests that its program passes.

        Raises:
            ConfigError: The problem shows no tests.
            VerifierError: The sandbox does not work.
        """
        tests = self._tests(problem)
        try:
            return await together([self._one(problem, tests, t, ctx) for t in trajectories])
        except SandboxError as error:
            raise VerifierError(error.message, hint=error.hint) from error

    async def _one(
        self, problem: Problem, tests: list[str], trajectory: Trajectory, ctx: VerifierContext
    ) -> Score:
        program = ctx.answers.extract(trajectory.text)
        if program is None:
            return Score(0.0, "probability")
        prompt = str(given(problem, self.prompt)) if self.prompt else ""
        entry = str(given(problem, self.entry_point)) if self.entry_point else ""
        box = Sandbox(self.limits)
        passed = await together(
            passes(pieces(program, [test], prompt=prompt, entry=entry), box) for test in tests
        )
        return Score(sum(passed) / len(tests), "probability")

    def _tests(self, problem: Problem) -> list[str]:
        value = given(problem, self.tests)
        tests = [value] if isinstance(value, str) else value
        fine = isinstance(tests, list | tuple) and all(isinstance(test, str) for test in tests)
        if not fine or not tests:
            raise ConfigError(
                f"The field {self.tests!r} of problem {problem.id!r} holds no tests.",
                hint="It must be a Python program, or a list of them.",
            )
        return list(tests)
