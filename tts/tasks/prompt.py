"""Prompts as Jinja2 templates: the wording is configuration, not code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tts.errors import ConfigError
from tts.types import Message, Problem, ProblemId

if TYPE_CHECKING:
    import jinja2


@dataclass(frozen=True)
class Prompt:
    """How a question becomes a problem.

    Attributes:
        template: Jinja2; sees `question` and the other fields of the row but never the answer.
        system: System message of a conversation; empty for none.
        chat: Whether the model's chat template is applied; otherwise the model continues the text
            as it stands, and there can be no system message.
    """

    template: str = "{{ question }}"
    system: str = ""
    chat: bool = True

    def __post_init__(self) -> None:
        if self.system and not self.chat:
            raise ConfigError(
                "A prompt has a system message but is no conversation.",
                hint="Set prompt.chat=true, or put the text into prompt.template.",
            )

    def problem(
        self, id: ProblemId, row: Mapping[str, Any], metadata: Mapping[str, Any]
    ) -> Problem:
        """Fill in the template.

        Args:
            id: Of the problem.
            row: What the template may see.
            metadata: What strategies and verifiers may see.

        Raises:
            ConfigError: The template is broken, asks for a field that is not there, or is empty.
        """
        text = self._render(row)
        if not text.strip():
            raise ConfigError(f"The prompt of problem {id} is empty.", hint="See prompt.template.")
        if not self.chat:
            return Problem(id, prompt=text, metadata=metadata)
        head = (Message("system", self.system),) if self.system else ()
        return Problem(id, messages=(*head, Message("user", text)), metadata=metadata)

    def _render(self, row: Mapping[str, Any]) -> str:
        import jinja2

        try:
            return self._compiled.render(row)
        except jinja2.TemplateError as error:
            raise ConfigError(
                f"prompt.template cannot be used: {error}.",
                hint=f"It may use: {', '.join(sorted(row))}.",
            ) from error

    @cached_property
    def _compiled(self) -> jinja2.Template:
        import jinja2

        environment = jinja2.Environment(
            undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False
        )
        return environment.from_string(self.template)
