"""Attention one query at a time: what the kernel is told, and what comes of it, bit by bit."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.engine_fixtures import other_peoples_warnings

BLOCK, HEADS, GROUPS, SIZE = 32, 4, 2, 128
_LONG = 1500


@pytest.fixture(scope="module")
def vllm():
    """What of vLLM is used here."""
    with other_peoples_warnings():
        from vllm import _custom_ops
        from vllm.platforms import current_platform
        from vllm.v1.attention.backend import CommonAttentionMetadata

        from tts.engine.single_queries import one_query_each

        current_platform.import_kernels()
    return _custom_ops, CommonAttentionMetadata, one_query_each


def batch_of(vllm, lengths, queries):
    """What a model runner says of sequences, each with queries at its end."""
    _, metadata, _ = vllm
    blocks = [(length + BLOCK - 1) // BLOCK for length in lengths]
    table = torch.zeros(len(lengths), max(blocks), dtype=torch.int32)
    first = 1
    for row, count in enumerate(blocks):
        table[row, :count] = torch.arange(first, first + count)
        first += count
    starts = torch.tensor([0, *queries]).cumsum(0).to(torch.int32)
    return metadata(
        query_start_loc=starts,
        query_start_loc_cpu=starts,
        seq_lens=torch.tensor(lengths, dtype=torch.int32),
        num_reqs=len(lengths),
        num_actual_tokens=sum(queries),
        max_query_len=max(queries),
        max_seq_len=max(lengths),
        block_table_tensor=table,
        slot_mapping=torch.zeros(sum(queries), dtype=torch.int64),
    )


def attend(vllm, sequences, *, single=True):
    """The kernel's results for sequences of (queries, keys, values, how many queries)."""
    ops, _, one_query_each = vllm
    lengths = [len(keys) for _, keys, _, _ in sequences]
    counts = [count for *_, count in sequences]
    batch = batch_of(vllm, lengths, counts)
    cache = torch.zeros(int(batch.block_table_tensor.max()) + 1, GROUPS, 2 * BLOCK, SIZE)
    key_cache, value_cache = cache.chunk(2, dim=2)
    for row, (_, keys, values, _) in enumerate(sequences):
        places = torch.arange(len(keys))
        blocks = batch.block_table_tensor[row][places // BLOCK].long()
        slots = blocks * BLOCK + places % BLOCK
        ops.cpu_attn_reshape_and_cache(keys, values, key_cache, value_cache, slots, "vec")
    told = one_query_each(batch) if single else batch
    queries = torch.cat([q[-count:] for q, _, _, count in sequences])
    out = torch.empty_like(queries)
    about = ops.cpu_attn_get_scheduler_metadata(
        told.num_reqs, HEADS, GROUPS, SIZE, told.seq_lens, torch.float32, told.query_start_loc,
        True, -1, "vec", False,
    )  # fmt: skip
    ops.cpu_attention_with_kv_cache(
        queries, key_cache, value_cache, out, told.query_start_loc, told.seq_lens, SIZE**-0.5,
        True, None, -1, told.block_table_tensor, 0.0, about, None,
    )  # fmt: skip
    return out.split(counts)


def sequence(length, seed):
    generator = torch.Generator().manual_seed(seed)
    parts = [
        torch.randn(length, heads, SIZE, generator=generator) for heads in (HEADS, *[GROUPS] * 2)
    ]
    return tuple(parts)


def test_every_token_becomes_a_sequence_that_ends_with_it(vllm):
    *_, one_query_each = vllm
    batch = batch_of(vllm, lengths=[5, 40, 3], queries=[2, 1, 3])
    found = one_query_each(batch)
    assert found.seq_lens.tolist() == [4, 5, 40, 1, 2, 3]
    assert found.query_start_loc.tolist() == list(range(7))
    assert found.block_table_tensor.tolist() == [[1, 0]] * 2 + [[2, 3]] + [[4, 0]] * 3
    assert (found.num_reqs, found.max_query_len) == (6, 1)
    assert found.query_start_loc.dtype == found.seq_lens.dtype == torch.int32
    with pytest.raises(NotImplementedError, match="causal"):
        one_query_each(replace(batch, causal=False))


def test_reading_is_decoding_and_company_changes_nothing(vllm):
    """A long sequence, whose keys the kernel takes in many tiles."""
    one = sequence(_LONG, 0)
    (whole,) = attend(vllm, [(*one, _LONG)])
    (plain,) = attend(vllm, [(*one, _LONG)], single=False)
    assert torch.allclose(whole, plain, atol=1e-5)
    for end in (1, 33, 700, _LONG):  # decoded at that place
        (last,) = attend(vllm, [(*(part[:end] for part in one), 1)])
        assert torch.equal(last[0], whole[end - 1])
    (suffix,) = attend(vllm, [(*one, 300)])  # behind a prefix that was cached
    assert torch.equal(suffix, whole[-300:])
    others = [(*sequence(60 * n + 7, n), 1 if n % 3 else 60 * n + 7) for n in range(1, 12)]
    for place, count in ((0, 1), (5, _LONG), (11, 17)):
        company = [*others[:place], (*one, count), *others[place:]]
        assert torch.equal(attend(vllm, company)[place], whole[-count:])
