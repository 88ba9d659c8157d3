"""What a problem tells verifiers beside its question: its metadata. Gold answers are not there."""

from __future__ import annotations

from typing import Any

from tts.errors import ConfigError
from tts.types import Problem


def given(problem: Problem, name: str) -> Any:
    """The value of a field of a problem's metadata.

    Raises:
        ConfigError: There is none.
    """
    if name not in problem.metadata:
        raise ConfigError(
            f"Problem {problem.id!r} has no field {name!r} in its metadata, which the verifier"
            " reads.",
            hint=f"Set task.fields.metadata=[{name}], or name another field.",
        )
    return problem.metadata[name]
