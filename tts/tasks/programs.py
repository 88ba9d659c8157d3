"""Answers that are programs: compared as programs, judged by their tests."""

from __future__ import annotations

from dataclasses import dataclass, field

from tts.errors import ConfigError, GradingError, SandboxError
from tts.sandbox import Limits, Sandbox
from tts.sandbox.programs import passes
from tts.sandbox.source import pieces, plain, program_in
from tts.tasks.task import Item


@dataclass(frozen=True)
class ProgramAnswers:
    """Answers that are Python programs. Implements `tts.tasks.Answers`.

    A program is the last complete fenced code block. A text without any fence is a program if it
    is one as a whole, or continues one: indented lines, up to the first line that is not.

    Attributes:
        landing: Text that makes a model state its result, whatever came before.
    """

    landing: str = "\n\n```python\n"

    def extract(self, text: str) -> str | None:
        """The final program in a text, or None."""
        return program_in(text)

    async def key(self, answer: str) -> str:
        """The program without comments, blank lines and habits of spelling."""
        return plain(answer)

    async def equal(self, answer: str, gold: str) -> bool:
        """Whether two programs have the same key; many that do not do the same all the same."""
        return plain(answer) == plain(gold)


@dataclass(frozen=True)
class ProgramTests:
    """Right is a program that passes the tests of its problem. Implements `tts.tasks.Grader`.

    An item's reference holds `test`, a program or a list of them; `prompt`, what the answer
    continues or defines anew, if there is such a thing; and `entry_point`, the name of a function
    which the tests then get through a call `check(<entry point>)`, as in HumanEval.

    Programs run in a sandbox (`tts.sandbox`): without network, files of the machine, or a way out.

    Attributes:
        limits: What a program may use.
        allow_code_execution: Must be true.

    Raises:
        ConfigError: Running code was not allowed, or there is no sandbox on this machine.
    """

    limits: Limits = field(default_factory=Limits)
    allow_code_execution: bool = False

    def __post_init__(self) -> None:
        if not self.allow_code_execution:
            raise ConfigError(
                "allow_code_execution is false; grading this task runs programs that a model"
                " wrote, on this machine.",
                hint="Set task.allow_code_execution=true if that is what you want.",
            )
        Sandbox(self.limits)  # refused here, before anything is spent

    async def right(self, answer: str, item: Item) -> bool:
        """Whether a program ends its tests in time.

        Raises:
            GradingError: The sandbox does not work.
        """
        reference = item.reference
        tests = reference["test"]
        whole = pieces(
            answer,
            [tests] if isinstance(tests, str) else list(tests),
            prompt=reference.get("prompt", ""),
            entry=reference.get("entry_point", ""),
        )
        try:
            return await passes(whole, Sandbox(self.limits))
        except SandboxError as error:
            raise GradingError(error.message, hint=error.hint) from error
