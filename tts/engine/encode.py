"""A request that reads a text and generates nothing: the values of a pooling model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tts.engine.flight import Flight, in_ids

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Encode(Flight):
    """A pooling request, from sending it to its values.

    Attributes:
        values: float32; one row a token, or one vector a text, as the request asked. Empty if the
            request was aborted, None while it runs.
    """

    __slots__ = ("values",)

    def __init__(self, llm: Any, prompt: list[int], params: Any, request_id: str) -> None:
        self.values: NDArray[np.float32] | None = None
        outputs = llm.encode(in_ids(prompt), params, request_id)
        super().__init__(llm, request_id, outputs)

    @property
    def complete(self) -> bool:
        """Whether the values are here."""
        return self.values is not None

    @property
    def _reason(self) -> str | None:
        return "abort" if self.values is not None and not self.values.size else None

    def _take(self, output: Any) -> None:
        self.values = output.outputs.data.float().numpy()
        self.cached_tokens = output.num_cached_tokens or 0
