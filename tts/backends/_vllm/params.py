"""A request in vLLM's words, and vLLM's likeliest tokens in ours."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from tts.engine.steering import Entry
from tts.engine.text import Text
from tts.types import Request


def params_of(
    text: Text, request: Request, entry: Entry, structure: Mapping[str, Any] | None = None
) -> Any:
    """The request in vLLM's words. Without stop strings the engine makes no text at all."""
    SamplingParams, RequestOutputKind, StructuredOutputsParams = _vocabulary()
    plan = text.stop_plan(request.stop)
    kind = RequestOutputKind.DELTA if request.watch else RequestOutputKind.FINAL_ONLY
    sampling = request.sampling
    # Older versions than the one we were run with hand out every token.
    coarse = request.watch and request.every > 1
    known = "stream_interval" in SamplingParams.__struct_fields__
    return SamplingParams(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        min_p=sampling.min_p,
        max_tokens=request.max_tokens,
        seed=request.seed,
        logprobs=request.logprobs,
        stop=list(plan.strings),
        stop_token_ids=list(plan.ids),
        detokenize=bool(plan.strings),
        include_stop_str_in_output=bool(plan.strings),
        output_kind=kind,
        extra_args=entry.write(),
        structured_outputs=StructuredOutputsParams(**structure) if structure else None,
        **({"stream_interval": request.every} if coarse and known else {}),
    )


def likeliest(entry: Mapping[int, Any], most: int) -> Mapping[int, float]:
    """The `most` likeliest ids of a position; the engine adds the drawn one if it is none."""
    return {number: each.logprob for number, each in entry.items() if each.rank <= most}


@cache
def _vocabulary() -> tuple[Any, Any, Any]:
    """What vLLM says requests with; found once, as looking is slower than making a request."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

    return SamplingParams, RequestOutputKind, StructuredOutputsParams
