"""Whether a run can have structured answers: whole ones, of a backend with grammars.

A grammar begins anew with each request. So a strategy, watcher or budget that continues answers
would have each piece look like the whole, and is refused.
"""

from __future__ import annotations

from collections.abc import Sequence

from tts.errors import CapabilityMissing, ConfigError
from tts.protocols import Backend, Strategy, Watcher
from tts.types import Capability

_PIECES = frozenset({Capability.CONTINUATION, Capability.DRAFT})
_WHY = "and the grammar that holds a structured answer begins anew with each piece"


def check_structured(
    strategy: Strategy, backend: Backend, watchers: Sequence[Watcher], landing: int
) -> None:
    """Refuse structured answers where they would not hold.

    Args:
        strategy: Writes the answers.
        backend: Decodes.
        watchers: Of its chains.
        landing: Tokens with which an unfinished answer is to be closed, at least 0.

    Raises:
        CapabilityMissing: The backend has no grammars.
        ConfigError: Answers are not drawn whole.
    """
    for part in (strategy, *watchers):
        if part is not strategy or _PIECES & strategy.requires:
            raise ConfigError(
                f"{type(part).__name__} continues answers in pieces, {_WHY}.",
                hint="Take a strategy that draws whole answers (greedy, self_consistency,"
                " best_of_n, weighted_best_of_n) and no trimming, or leave out the structure.",
            )
    if landing:
        raise ConfigError(
            f"budget.landing_tokens continues an unfinished answer, {_WHY}.",
            hint="Set budget.landing_tokens=0, or leave out the structure.",
        )
    if Capability.STRUCTURED not in backend.capabilities:
        raise CapabilityMissing(
            f"Answers are to have a structure, and the backend of {backend.model.name} cannot hold"
            " a model to one.",
            hint="Take the bundled engine (backend=vllm) or a vLLM server, or leave out the"
            " structure.",
        )
