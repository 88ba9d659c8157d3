"""Inside the engine's processes, on a processor: drawn tokens beside speculative decoding.

To check drafted tokens vLLM lays the temperature, top-k and top-p of each request out over its
tokens. Without Triton its processor build (0.32) writes what it lays out into a copy and throws
that away, so draws are made at whatever temperature lies in memory; greedy ones are not affected.
Here it is done with PyTorch.
"""

from __future__ import annotations

from typing import Any, Self

import torch

from tts.engine.guard import Guard


class Drafting(Guard):
    """Mixed into vLLM's worker class; making a worker puts our function in the place of vLLM's."""

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """Replace the function, then make the worker."""
        from vllm.v1.sample import rejection_sampler

        rejection_sampler.expand_batch_to_tokens = laid_out
        return super().__new__(cls)


def laid_out(
    x: torch.Tensor,
    cu_num_tokens: torch.Tensor,
    num_tokens: int,
    replace_from: float = 0,
    replace_to: float = 0,
) -> torch.Tensor:
    """A value for each token, of one for each request; called by vLLM.

    Args:
        x: Values, of shape (requests,).
        cu_num_tokens: Tokens of each request and all before it, of shape (requests,).
        num_tokens: Tokens of all of them.
        replace_from: A value that is to be another one.
        replace_to: The other one.
    """
    ends = cu_num_tokens.to(torch.long)
    counts = torch.diff(ends, prepend=ends.new_zeros(1))
    values = torch.where(x == replace_from, torch.full_like(x, replace_to), x)
    return values.repeat_interleave(counts, output_size=num_tokens)
