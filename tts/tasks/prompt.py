"""Prompts as Jinja2 templates: the wording is configuration, not code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tts.errors import ConfigError
from tts.tasks._templates import compiled, render
from tts.tasks.examples import Examples, Shot
from tts.types import Message, Problem, ProblemId

if TYPE_CHECKING:
    import jinja2


_QUESTION = "{{ question }}"


@dataclass(frozen=True)
class Prompt:
    """How a question becomes a problem.

    Attributes:
        template: Jinja2; sees `question`, `choices` (letters and texts) where there are options,
            and the other fields of the row, but never the answer.
        system: System message of a conversation; empty for none.
        chat: Whether the model's chat template is applied; otherwise the model continues the text
            as it stands, and there can be no system message.
        examples: Worked examples that come first: earlier turns of a conversation, or text before
            the question.
    """

    template: str = _QUESTION
    system: str = ""
    chat: bool = True
    examples: Examples = field(default_factory=Examples)

    def __post_init__(self) -> None:
        if self.system and not self.chat:
            raise ConfigError(
                "A prompt has a system message but is no conversation.",
                hint="Set prompt.chat=true, or put the text into prompt.template.",
            )

    def problem(
        self,
        id: ProblemId,
        row: Mapping[str, Any],
        metadata: Mapping[str, Any],
        *,
        messages: Sequence[Message] = (),
        shots: Sequence[Shot] = (),
    ) -> Problem:
        """Fill in the template.

        Args:
            id: Of the problem.
            row: What the template may see.
            metadata: What strategies and verifiers may see.
            messages: A conversation that is the question; then the template is not used.
            shots: The examples, read.

        Raises:
            ConfigError: The template is broken, asks for a field that is not there, or is empty;
                or a conversation is to be continued as text.
        """
        if messages:
            return Problem(id, messages=self._continued(messages, shots, id), metadata=metadata)
        text = self._question(row, id)
        if self.chat:
            turns = (*self._opening(shots), Message("user", text))
            return Problem(id, messages=turns, metadata=metadata)
        before = (
            f"{self._question(shot.row, 'of an example')}{shot.answer}{self.examples.separator}"
            for shot in shots
        )
        return Problem(id, prompt="".join([*before, text]), metadata=metadata)

    def _opening(self, shots: Sequence[Shot]) -> tuple[Message, ...]:
        turns = [Message("system", self.system)] if self.system else []
        for shot in shots:
            turns.append(Message("user", self._question(shot.row, "of an example")))
            turns.append(Message("assistant", shot.answer))
        return tuple(turns)

    def _continued(
        self, messages: Sequence[Message], shots: Sequence[Shot], id: ProblemId
    ) -> tuple[Message, ...]:
        if not self.chat:
            raise ConfigError(
                f"Problem {id} is a conversation, which the model cannot continue as text.",
                hint="Set prompt.chat=true, or task.fields.messages=null.",
            )
        if messages[0].role != "system":
            return (*self._opening(shots), *messages)
        if self.system:
            raise ConfigError(
                f"Problem {id} has a system message of its own beside prompt.system.",
                hint="Set prompt.system='' for such rows.",
            )
        return (messages[0], *self._opening(shots), *messages[1:])

    def _question(self, row: Mapping[str, Any], id: str) -> str:
        asked = row.get("question")
        if self.template == _QUESTION and isinstance(asked, str):  # for the sake of speed alone
            text = asked
        else:
            text = render(self._compiled, row, "prompt.template")
        if not text.strip():
            raise ConfigError(f"The prompt of problem {id} is empty.", hint="See prompt.template.")
        return text

    @cached_property
    def _compiled(self) -> jinja2.Template:
        return compiled(self.template, "prompt.template")
