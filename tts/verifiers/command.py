r"""Any external checker as a verifier: a proof assistant, a compiler, a program of one's own.

It is run in a sandbox, so it must need no network, and what it reads must lie below /usr or in a
place that is bound. It says whether an answer passes by its exit code, or by a number it prints.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, get_args

from tts.errors import ConfigError, SandboxError, VerifierError
from tts.protocols import VerifierContext
from tts.sandbox import Limits, Outcome, Sandbox, is_inside
from tts.types import Capability, Problem, Scale, Score, Trajectory, Usage
from tts.verifiers._given import given
from tts.verifiers._prm.together import together

_PLACE = re.compile(r"\{(?:(answer|text)|metadata\.(\w+))\}")
_SHOWN = 200  # characters of what a command said


@dataclass(frozen=True)
class Command:
    r"""What a command says of an answer.

    In `argv`, `content` and `stdin` these stand for what is to be checked: `{answer}` for the
    answer as the task's format finds it, `{text}` for the whole text, and `{metadata.name}` for a
    field of the problem's metadata, such as the statement of a theorem. An answer that reaches a
    limit has not passed; a command that does not start, or prints no number, is an error.

    Args:
        argv: The command and its arguments, such as `["gcc", "-fsyntax-only", "a.c"]`. It is looked
            for in PATH, and starts in a folder of its own.
        file: Name of a file in that folder, such as `a.c`; empty for none.
        content: What is in the file.
        stdin: What the command reads from standard input.
        codes: Exit codes of a command that accepts an answer.
        number: Regular expression (Python's) with one group, a number: its last match in the
            standard output is the score of an accepted answer. Empty: that is 1.
        scale: What the number means: `probability`, `logit` or `reward`.
        rejected: The score of an answer that is not accepted, or could not be found.
        binds: Absolute paths that the command reads, beside /usr and Python; see `Sandbox`.
        env: Variables that it gets, beside PATH, HOME, TMPDIR and LANG.
        limits: What it may use.
        partial: Whether it can judge unfinished answers.

    Raises:
        ConfigError: There is no sandbox on this machine, no such command, or a field cannot be
            used.
    """

    argv: Sequence[str]
    file: str = ""
    content: str = "{answer}"
    stdin: str = ""
    codes: Sequence[int] = (0,)
    number: str = ""
    scale: Scale = "probability"
    rejected: float = 0.0
    binds: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    partial: bool = False
    requires: frozenset[Capability] = frozenset()

    def __post_init__(self) -> None:
        if not self.argv:
            raise ConfigError("verifier.argv is empty.", hint="Name a command.")
        if not any(match[1] for word in self._words for match in _PLACE.finditer(word)):
            raise ConfigError(
                "The command would never see an answer: neither {answer} nor {text} is in"
                " verifier.argv, verifier.stdin, or verifier.content of a verifier.file.",
                hint="Set verifier.file=answer.txt, say, and name that in verifier.argv.",
            )
        if self.file and not is_inside(self.file):
            raise ConfigError(
                f"verifier.file is {self.file!r}, which is no name of a file in a folder.",
                hint="Set verifier.file=answer.txt.",
            )
        self._check_scores()
        self._box.find(self.argv[0])

    def _check_scores(self) -> None:
        if self.scale not in get_args(Scale):
            raise ConfigError(
                f"verifier.scale is {self.scale!r}.", hint=f"Take one of {get_args(Scale)}."
            )
        try:
            Score(self.rejected, self.scale)
            groups = re.compile(self.number).groups
        except (ValueError, re.error) as error:
            name = "number" if isinstance(error, re.error) else "rejected"
            message = f"verifier.{name} is {getattr(self, name)!r}, and {error}."
            raise ConfigError(message, hint=f"Correct verifier.{name}.") from error
        if self.number and groups != 1:
            raise ConfigError(
                f"verifier.number is {self.number!r}, which has {groups} groups; it must have one.",
                hint=r"An example is 'score: ([-+.\d]+)'.",
            )

    def identity(self) -> Mapping[str, Any]:
        """The command, what it is given, and how it is read; not what the command itself is."""
        names = ("file", "content", "stdin", "number", "scale", "rejected")
        settings = {name: getattr(self, name) for name in names}
        lists = {name: list(getattr(self, name)) for name in ("argv", "codes", "binds")}
        more = {"env": dict(self.env), "limits": asdict(self.limits)}
        return {"verifier": "command", **settings, **lists, **more}

    def bound(self, problem: Problem, tokens: int, ctx: VerifierContext) -> Usage:
        """A call, and nothing else.

        Raises:
            ConfigError: The problem's metadata lacks a field.
        """
        for word in self._words:
            _filled(word, problem, "", "")
        return Usage(verifier_calls=1)

    async def score(
        self, problem: Problem, trajectories: Sequence[Trajectory], ctx: VerifierContext
    ) -> list[Score]:
        """One score a trajectory, on the scale that was said.

        Raises:
            ConfigError: The problem's metadata lacks a field.
            VerifierError: The command does not start, or prints no number.
        """
        return await together([self._one(problem, node, ctx) for node in trajectories])

    async def _one(self, problem: Problem, trajectory: Trajectory, ctx: VerifierContext) -> Score:
        text = trajectory.text
        answer = ctx.answers.extract(text)
        if answer is None and any("{answer}" in word for word in self._words):
            return Score(self.rejected, self.scale)

        def fill(template: str) -> str:
            return _filled(template, problem, answer or "", text)

        first, *rest = self.argv
        argv = [self._box.find(first), *map(fill, rest)]
        files = {self.file: _bytes(fill(self.content))} if self.file else {}
        try:
            outcome = await self._box.run(
                argv, stdin=_bytes(fill(self.stdin)), files=files, env=self.env
            )
        except SandboxError as error:
            hint = "Name what it reads in verifier.binds, or raise verifier.limits."
            raise VerifierError(error.message, hint=error.hint or hint) from error
        except (OSError, ValueError) as error:
            raise VerifierError(
                f"The command {first} cannot be given an answer to problem {problem.id!r}"
                f" ({error}).",
                hint="Put the answer into a file: verifier.file and verifier.content.",
            ) from error
        return self._read(outcome)

    def _read(self, outcome: Outcome) -> Score:
        if outcome.reason is not None or outcome.code not in self.codes:
            return Score(self.rejected, self.scale)
        if not self.number:
            return Score(1.0, self.scale)
        said = outcome.stdout.decode(errors="replace")
        found = re.findall(self.number, said)
        try:
            value = float(found[-1])
            if math.isfinite(value):
                return Score(value, self.scale)
        except (IndexError, ValueError):
            pass
        raise VerifierError(
            f"The command {self.argv[0]} printed no {self.scale} that verifier.number finds, but"
            f" {said[-_SHOWN:]!r}.",
            hint="Correct verifier.number or verifier.scale.",
        )

    @property
    def _words(self) -> list[str]:
        """All in which something may stand for an answer."""
        return [*self.argv[1:], self.stdin, *([self.content] if self.file else [])]

    @property
    def _box(self) -> Sandbox:
        return Sandbox(self.limits, tuple(self.binds))


def _filled(template: str, problem: Problem, answer: str, text: str) -> str:
    def value(match: re.Match[str]) -> str:
        if match[2]:
            return str(given(problem, match[2]))
        return answer if match[1] == "answer" else text

    return _PLACE.sub(value, template)  # in one pass: braces in an answer stand for themselves


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")
