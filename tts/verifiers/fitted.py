"""What was fitted on answers, as a file; it says nothing of another model's answers."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tts._author import Author
from tts.errors import ConfigError


class Fitted(BaseModel):
    """A fit. Subclasses say in `what` what it is, and in `option` how one is made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    what: ClassVar[str]
    option: ClassVar[str]

    model: Author = Field(description="Whose answers it was fitted on.")
    n_problems: int = Field(ge=1, description="Problems in the fit.")
    n_answers: int = Field(ge=1, description="Answers, or beginnings of answers, in the fit.")

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a file.

        Raises:
            ConfigError: It cannot be read, or holds something else.
        """
        hint = f"Make one: tts verifier-report RUN {cls.option} FILE."
        try:
            content = Path(path).expanduser().read_bytes()
        except OSError as error:
            raise ConfigError(
                f"verifier.path: the {cls.what} {path} cannot be read: {error.strerror}.", hint=hint
            ) from error
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "its beginning"
            raise ConfigError(
                f"verifier.path: {path} is no {cls.what} ({where}: {first['msg']}).", hint=hint
            ) from error

    def text(self) -> str:
        """What its file holds."""
        return self.model_dump_json(indent=1) + "\n"

    def refuse_answers_of(self, author: Author, path: str | Path) -> None:
        """Refuse the answers of another model.

        Args:
            author: Whose answers they are.
            path: Where this fit was read.

        Raises:
            ConfigError: It is another one.
        """
        if not self.model.same(author):
            raise ConfigError(
                f"The {self.what} {path} was fitted on answers of {self.model}, and these are of"
                f" {author}.",
                hint=f"Fit one on a run of this model: tts verifier-report RUN {self.option} FILE.",
            )
