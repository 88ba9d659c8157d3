"""Products whose rows do not depend on each other, to the last bit."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tts.engine.fixed_product import COLUMNS, ROWS, product

INPUTS = 96


def made(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("outputs", [7, 64, COLUMNS + 40])
def test_it_is_the_product(dtype, outputs):
    inputs, weight, bias = made(70, INPUTS), made(outputs, INPUTS, dtype=dtype), made(outputs)
    exact = inputs.double() @ weight.double().t() + bias
    found = product(inputs, weight, bias)
    assert found.dtype == torch.float32
    assert torch.allclose(found.double(), exact, rtol=1e-4, atol=1e-4)


def test_sixteen_bits_are_cast_not_rounded():
    weight = made(130, INPUTS, dtype=torch.bfloat16)
    inputs = made(40, INPUTS)
    assert torch.equal(product(inputs, weight), product(inputs, weight.float()))


@settings(max_examples=30)
@given(st.data())
def test_a_row_is_the_same_alone_and_in_any_company(data):
    weight = made(COLUMNS + 8, INPUTS, seed=1, dtype=torch.bfloat16)
    inputs = made(3 * ROWS, INPUTS, seed=2)
    alone = torch.cat([product(row[None], weight) for row in inputs])
    rows = data.draw(st.lists(st.integers(0, 3 * ROWS - 1), min_size=1, max_size=5 * ROWS))
    assert torch.equal(product(inputs[rows], weight), alone[rows])


def test_any_number_of_axes_and_no_rows_at_all():
    weight = made(5, INPUTS)
    assert product(made(2, 3, INPUTS), weight).shape == (2, 3, 5)
    assert product(made(0, INPUTS), weight).shape == (0, 5)
