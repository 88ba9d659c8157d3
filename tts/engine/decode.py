"""A request that generates tokens."""

from __future__ import annotations

from typing import Any

from tts.engine.flight import Flight, in_ids


class Decode(Flight):
    """A decode, from sending it to its last token.

    Attributes:
        tokens: Token ids so far, the end-of-sequence token included. Where the request asks for
            one final output, they arrive together at the end.
        logprobs: For each token vLLM's mapping from id to `Logprob`, if asked for.
        finish: vLLM's finish reason; None while it runs.
        stop_reason: The stop token's id, the stop string, or None.
    """

    __slots__ = ("finish", "logprobs", "stop_reason", "tokens")

    def __init__(
        self, llm: Any, prompt: list[int], params: Any, request_id: str, lora: Any = None
    ) -> None:
        self.tokens: list[int] = []
        self.logprobs: list[Any] = []
        self.finish: str | None = None
        self.stop_reason: int | str | None = None
        outputs = llm.generate(in_ids(prompt), params, request_id, lora_request=lora)
        super().__init__(llm, request_id, outputs)

    @property
    def complete(self) -> bool:
        """Whether the engine has given a reason for the end."""
        return self.finish not in (None, "error")

    @property
    def _reason(self) -> str | None:
        return self.finish

    def _take(self, output: Any) -> None:
        piece = output.outputs[0]
        self.tokens.extend(piece.token_ids)
        if piece.logprobs:
            self.logprobs.extend(piece.logprobs)
        self.cached_tokens = output.num_cached_tokens or 0
        if piece.finish_reason is not None:
            self.finish = piece.finish_reason
            self.stop_reason = piece.stop_reason
