"""Which format a reward model wants: the table, the guess, and the check."""

from __future__ import annotations

from collections.abc import Mapping

from tts.engine.head import Head
from tts.engine.text import Text
from tts.errors import ConfigError, VerifierError
from tts.types import Problem, Segment, Trajectory
from tts.verifiers._prm import math_shepherd, mini, outcome, qwen, rlhflow, skywork
from tts.verifiers._prm.format import STEP_END, Format, id_of

FORMATS: Mapping[str, Format] = {
    module.FORMAT.name: module.FORMAT
    for module in (mini, qwen, math_shepherd, rlhflow, skywork, outcome)
}
# Parts of a model's name in lower case; the first that fits decides.
_NAMES = (
    ("mini-prm", "mini"),
    ("qwen2.5-math-prm", "qwen"),
    ("qwen2.5-math-7b-prm800k", "qwen"),
    ("math-shepherd", "math_shepherd"),
    ("llama3.1-8b-prm", "rlhflow"),
    ("skywork-o1-open-prm", "skywork"),
)
_TWO_STEPS = f"1+1=2{STEP_END}2"


def choose(wanted: str, model: str, head: Head, labels: int, text: Text) -> Format:
    """The format of a model, checked against its head and its tokenizer.

    Args:
        wanted: Name of a format, or `auto`.
        model: Name of the model, or its path.
        head: Where its values come from.
        labels: Values in a row; 0 for a language model.
        text: Its tokenizer.

    Raises:
        ConfigError: There is no such format, or it does not fit the model, or none can be told.
    """
    format = _guess(model, head, labels, text) if wanted == "auto" else FORMATS.get(wanted)
    if format is None:
        raise ConfigError(
            f"verifier.format is {wanted!r}.",
            hint=f"It is auto, or one of {', '.join(FORMATS)}.",
        )
    _check_head(format, model, head, labels)
    _check_text(format, text)
    return format


def _guess(model: str, head: Head, labels: int, text: Text) -> Format:
    if head == "sequence":
        return outcome.FORMAT
    if labels == 2 and text.token_id(qwen.MARK) is not None:
        return qwen.FORMAT  # no other family has this token
    name = model.lower()
    for part, format in _NAMES:
        if part in name:
            return FORMATS[format]
    raise ConfigError(
        f"The name of {model} does not tell how it wants to be asked.",
        hint=f"Set verifier.format to one of {', '.join(FORMATS)}.",
    )


def _check_head(format: Format, model: str, head: Head, labels: int) -> None:
    if format.head == head and labels in format.labels:
        return
    if head == "language":
        what = "is a plain language model"
    else:
        what = f"gives {labels} value(s) for each {'token' if head == 'token' else 'text'}"
    fitting = [f.name for f in FORMATS.values() if f.head == head and labels in f.labels]
    raise ConfigError(
        f"The model {model} {what}, which the format {format.name} cannot read.",
        hint=f"Formats that could: {', '.join(fitting)}." if fitting else "No format can.",
    )


def _check_text(format: Format, text: Text) -> None:
    """Encode a small answer: what cannot be encoded now never can."""
    answer = Trajectory.root().extend(Segment(_TWO_STEPS), child=0, clock=0)
    try:
        format.encode(Problem.chat("", "1+1="), answer, text, False)
    except VerifierError as error:
        raise ConfigError(
            f"The tokenizer of {text.name} does not fit the format {format.name}: {error.message}",
            hint="Take the model's own tokenizer.",
        ) from error
    for sign in format.signs or ():
        id_of(text, sign)
