"""Verifiers of samples that are there: refused where they do not fit, started, and closed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tts._author import Author
from tts.errors import ConfigError
from tts.evaluation.rescoring import check_verifier_fits
from tts.evaluation.samples import Samples
from tts.evaluation.store import PROVENANCE
from tts.protocols import ChecksModel, Startable, Verifier
from tts.types import ModelInfo


def check_judge(
    verifier: Verifier | None, folder: Path, arms: Mapping[str, Sequence[Samples]]
) -> None:
    """Refuse a verifier that the samples of a run are nothing for.

    Raises:
        ConfigError: It is one.
    """
    if verifier is None:
        return
    for samples in arms.values():
        check_verifier_fits(verifier, samples)
    if isinstance(verifier, ChecksModel):
        author = Author.recorded(only(folder, "backends", "Take a run of one model."))
        verifier.check(ModelInfo(author.model, tokenizer=author.tokenizer), author.weights)


@asynccontextmanager
async def started(verifier: Verifier | None) -> AsyncIterator[None]:
    """A block in which a verifier can judge, with its model loaded if it has one of its own."""
    if verifier is None or not isinstance(verifier, Startable):
        yield
        return
    try:
        await verifier.start()
        yield
    finally:
        await verifier.aclose()


def only(folder: Path, field: str, hint: str) -> dict[str, Any]:
    """The only entry of a list in a run's provenance.

    Raises:
        ConfigError: There is no such list, or it has not one entry.
    """
    path = folder / PROVENANCE
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))[field]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} does not tell the {field} of the run.", hint=hint) from error
    if len(entries) != 1:
        raise ConfigError(f"{folder} is a run with {len(entries)} {field}, not one.", hint=hint)
    return dict(entries[0])
