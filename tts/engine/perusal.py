"""A request that reads: how likely the model finds the tokens it is given.

vLLM computes no token of it from the prefix cache, as it does not keep what it said of them; and it
must generate one token, which is thrown away. It needs room for the logits of as many positions as
it reads at once (`max_num_batched_tokens`, each the size of the vocabulary).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tts.engine.flight import Flight, in_ids


class Perusal(Flight):
    """A reading, from sending it to its values.

    Args:
        llm: The running `AsyncLLM`.
        ids: What is read, at least two tokens and fewer than `max_model_len`.
        top: Of how many of the likeliest tokens the values are wanted at every place, at least 0.
        request_id: Of the request, unique to it.
        lora: A `vllm.lora.request.LoRARequest`, if an adapter is to read.

    Attributes:
        values: For each token but the first vLLM's mapping from id to `Logprob`: the token itself
            and the likeliest ones. None until it has ended.
        generated: Tokens that were generated, and thrown away.
    """

    __slots__ = ("_finish", "generated", "values")

    def __init__(
        self, llm: Any, ids: list[int], top: int, request_id: str, lora: Any = None
    ) -> None:
        self.values: list[Mapping[int, Any]] | None = None
        self.generated = 0
        self._finish: str | None = None
        outputs = llm.generate(in_ids(ids), _params(top), request_id, lora_request=lora)
        super().__init__(llm, request_id, outputs)

    @property
    def complete(self) -> bool:
        """Whether the engine has given a reason for the end."""
        return self._finish not in (None, "error")

    @property
    def _reason(self) -> str | None:
        return self._finish

    def _take(self, output: Any) -> None:
        piece = output.outputs[0]
        self.generated += len(piece.token_ids)
        self.cached_tokens = output.num_cached_tokens or 0
        self._finish = piece.finish_reason
        if output.prompt_logprobs:
            self.values = list(output.prompt_logprobs[1:])


def _params(top: int) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams(
        temperature=0.0,
        max_tokens=1,
        prompt_logprobs=top,
        detokenize=False,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )
