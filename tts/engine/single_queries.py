"""Inside the engine's processes: attention on a processor, one query at a time.

vLLM's kernel goes through the keys in tiles and rescales its sums from tile to tile. How long a
tile is depends on how many queries share it, and who shares depends on how the batch is divided
among the threads; with few sequences even one query's keys are divided. So a token's result
depends on the batch, and on whether it was read with its prompt or decoded alone.

Here the kernel is told of every token as if it were a sequence of its own, with one query. Its
tiles then depend on the model and the machine alone, and what is read equals what is decoded.
(That the keys of one query are not divided is set by a variable, see `tts.engine.reproducible`.)
The kernel loses little: reading a prompt of 1,000 tokens takes 1.2 to 1.4 times as long, one of
4,000 tokens not longer. Run on vLLM 0.32 (CPU build).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from vllm.v1.attention.backends.cpu_attn import (
    CPUAttentionBackend,
    CPUAttentionMetadata,
    CPUAttentionMetadataBuilder,
)


class SingleQueries(CPUAttentionBackend):  # type: ignore[misc, unused-ignore]
    """vLLM's attention on a processor, with one query a sequence."""

    @staticmethod
    def get_builder_cls() -> type[SingleQueriesBuilder]:
        """What tells the kernel of a batch."""
        return SingleQueriesBuilder


class SingleQueriesBuilder(CPUAttentionMetadataBuilder):  # type: ignore[misc, unused-ignore]
    """Tells the kernel of every token as if it were a sequence of its own."""

    def build(
        self, common_prefix_len: int, common_attn_metadata: Any, fast_build: bool = False
    ) -> CPUAttentionMetadata:
        """What the kernel needs to know of a batch."""
        single = one_query_each(common_attn_metadata)
        return super().build(common_prefix_len, single, fast_build)


def one_query_each(batch: Any) -> Any:
    """A batch in which every token is a sequence that ends with it.

    Args:
        batch: A `CommonAttentionMetadata` of causal attention.

    Raises:
        NotImplementedError: Its attention is not causal.
    """
    if batch.causal is not True:
        raise NotImplementedError("reproducible mode knows causal attention only")
    starts, lengths = batch.query_start_loc, batch.seq_lens
    queries = starts[1:] - starts[:-1]
    count = int(starts[-1])
    owner = torch.repeat_interleave(torch.arange(len(queries)), queries, output_size=count)
    # A sequence's last query sees all of it, the one before it one token less, and so on.
    places = torch.arange(count, dtype=lengths.dtype)
    behind = starts[1:][owner] - 1 - places
    firsts = torch.arange(count + 1, dtype=starts.dtype)
    return replace(
        batch,
        query_start_loc=firsts,
        query_start_loc_cpu=firsts,
        seq_lens=(lengths[owner] - behind).to(lengths.dtype),
        num_reqs=count,
        num_actual_tokens=count,
        max_query_len=1,
        block_table_tensor=batch.block_table_tensor[owner],
    )
