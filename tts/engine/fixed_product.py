"""A product of activations and weights in which a row's result does not depend on the other rows.

Libraries for matrices choose their kernel by the shapes that they are given, and kernels add up in
different orders: a row that is multiplied alone differs in its last bits from the same row among
sixty-four. Here every product that the library sees has the same shape: rows are taken in groups of
`ROWS`, the last one filled up with zeros, and columns in blocks of `COLUMNS`. What is left is the
place of a row in its group, which decides no order of addition.

Weights of 16 bits are cast to float32 block by block just before the product, as LayerCast does
(Yuan et al. 2025, "Understanding and Mitigating Numerical Sources of Nondeterminism in LLM
Inference"): half the memory of float32 weights, and the same arithmetic. A block in float32 stays
in the processor's cache until it has been used.

Knows no model and no engine. On a GPU the product is left to the library, which vLLM's
batch-invariant mode has told to use one kernel for all shapes.
"""

from __future__ import annotations

import torch
from torch.nn.functional import linear, pad

ROWS = 32
COLUMNS = 1024


def product(
    inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """Multiply in float32; each row of the result depends on its own row alone, to the last bit.

    Args:
        inputs: float32, of shape (..., inputs).
        weight: Of shape (outputs, inputs), in float32 or 16 bits.
        bias: Of shape (outputs), if there is one.

    Returns:
        float32, of shape (..., outputs).
    """
    if inputs.is_cuda:
        return linear(inputs, weight.float(), bias)
    flat = inputs.reshape(-1, inputs.shape[-1])
    filled = pad(flat, (0, 0, 0, -len(flat) % ROWS))
    result = filled.new_empty(len(filled), len(weight))
    for column in range(0, len(weight), COLUMNS):
        block = weight[column : column + COLUMNS].float().t()
        for row in range(0, len(filled), ROWS):
            place = result[row : row + ROWS, column : column + COLUMNS]
            torch.mm(filled[row : row + ROWS], block, out=place)
    if bias is not None:
        result += bias
    return result[: len(flat)].view(*inputs.shape[:-1], len(weight))
