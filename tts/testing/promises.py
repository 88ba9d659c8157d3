"""What the contract tests share."""

from __future__ import annotations

import json

from tts.errors import ContractError
from tts.protocols import (
    Backend,
    Verifier,
)
from tts.types import (
    Usage,
)


def require(kept: bool, promise: str) -> None:
    """Complain of a broken promise.

    Raises:
        ContractError: It was not kept.
    """
    if not kept:
        raise ContractError(promise)


def check_identity(part: Backend | Verifier) -> None:
    """Check that an identity can be filed under.

    Raises:
        ContractError: It is not of JSON types, or changes.
    """
    identity = part.identity()
    try:
        same = json.loads(json.dumps(identity)) == identity == part.identity()
    except TypeError:
        same = False
    require(same, "`identity` is of JSON types, and stays the same.")


def beyond(usage: Usage, bound: Usage) -> str:
    """The first component in which a cost exceeds a bound; empty if none does."""
    most = bound.as_dict()
    return next((k for k, v in usage.as_dict().items() if v > most[k] * (1 + 1e-9)), "")
