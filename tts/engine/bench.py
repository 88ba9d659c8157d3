"""The child of `tts.engine.kernels`: times matrix products, a stream through memory, and draws.

On a processor the products are vLLM's own operators; on a GPU they are PyTorch's, in the plain
types alone. The least time of a few repetitions counts: whatever else the machine does can only
add to it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

ROWS = (1, 2, 16, 64)
"""Rows that are multiplied with a layer's matrices: one, two, some and many."""

_PATIENCE = 0.25  # seconds for the repetitions of one measurement
_LEAST = 3  # repetitions
_MOST_WEIGHTS = 1 << 25  # of the layers that are measured; at least one is
_STREAMED = 1 << 28  # bytes that are read to measure the bandwidth: more than any cache holds
_LOGITS = (16, 8192)

_Product = Callable[["torch.Tensor"], object]


def main() -> None:
    """Read what is asked, measure, and say it in one line of JSON."""
    asked = json.loads(sys.stdin.read())
    from tts.engine.logs import engine_log

    engine_log().hush()
    import torch

    device = "cuda" if asked["cuda"] else "cpu"
    if device == "cpu":
        _load_operators()
    with torch.inference_mode():
        kernels = [
            {name: _kernel(model, name, device) for name in model["arithmetics"]}
            for model in asked["models"]
        ]
        found = {"bandwidth": _bandwidth(device), "draw": _draw(device), "kernels": kernels}
    print(json.dumps(found))


def _load_operators() -> None:
    from vllm.platforms import current_platform

    load = getattr(current_platform, "import_kernels", None)
    if load is not None:
        load()


def _kernel(model: Mapping[str, Any], arithmetic: str, device: str) -> dict[str, Any]:
    """Time the products of all layers for each number of rows."""
    each = sum(inputs * outputs for inputs, outputs in model["matrices"])
    count = max(1, min(model["count"], _MOST_WEIGHTS // each))
    sizes = [size for _ in range(count) for size in model["matrices"]]
    products = [
        (inputs, _product(inputs, outputs, arithmetic, device)) for inputs, outputs in sizes
    ]
    launch = _launch(device) * len(products)
    seconds = {}
    for rows in ROWS:
        given = {inputs: _rows(rows, inputs, arithmetic, device) for inputs, _ in products}

        def work(given: Mapping[int, torch.Tensor] = given) -> None:
            for inputs, product in products:
                product(given[inputs])

        # What the simplest call costs is measured with all else that the engine does in a layer;
        # what calls of other types cost beyond that belongs to the type.
        took = _least(work, device)
        seconds[rows] = max(took - launch, 0.1 * took)
    return {"weights": each * count, "seconds": seconds}


def _launch(device: str) -> float:
    """Seconds of a product that has next to nothing to do."""
    product = _product(32, 32, "fp32", device)
    alone = _rows(1, 32, "fp32", device)
    return _least(lambda: product(alone), device)


def _rows(rows: int, inputs: int, arithmetic: str, device: str) -> torch.Tensor:
    import torch

    return torch.randn(rows, inputs, device=device).to(_plain(arithmetic))


def _plain(arithmetic: str) -> torch.dtype:
    """The type of the activations beside an arithmetic."""
    import torch

    return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(arithmetic, torch.float32)


def _product(inputs: int, outputs: int, arithmetic: str, device: str) -> _Product:
    """A product with random weights, as the engine would take it."""
    import torch

    weight = torch.randn(outputs, inputs, device=device)
    if arithmetic == "int8":
        return _int8_product(weight)
    linear = torch.nn.Linear(inputs, outputs, bias=False, device=device)
    linear.weight = torch.nn.Parameter(weight.to(_plain(arithmetic)), requires_grad=False)
    if device == "cuda":
        return linear
    from vllm.model_executor.layers.utils import dispatch_cpu_unquantized_gemm

    dispatch_cpu_unquantized_gemm(linear, remove_weight=False)
    multiply: Callable[..., torch.Tensor] = getattr(linear, "cpu_linear")  # noqa: B009 - untyped
    return lambda rows: multiply(rows, linear.weight, None)


def _int8_product(weight: torch.Tensor) -> _Product:
    """A product of 8-bit integers on a processor: a scale for each row and for each output."""
    import torch
    from vllm import _custom_ops as ops

    scales = weight.abs().amax(1, keepdim=True) / 127
    whole = (weight / scales).round().to(torch.int8)
    handler = ops.create_onednn_scaled_mm(whole.t(), scales, torch.float32, True, False, 32)

    def multiply(rows: torch.Tensor) -> torch.Tensor:
        numbers, scale, _ = ops.onednn_scaled_int8_quant(rows)
        result = torch.empty(len(rows), len(whole))
        ops.onednn_scaled_mm(handler, numbers, result, scale, None, None, None)
        return result

    return multiply


def _bandwidth(device: str) -> float:
    """Bytes read in a second."""
    import torch

    numbers = torch.ones(_STREAMED // 4, device=device)
    return _STREAMED / _least(numbers.sum, device)


def _draw(device: str) -> float:
    """Seconds for each logit to draw a token."""
    import torch

    logits = torch.randn(_LOGITS, device=device)
    fused = getattr(torch.ops._C, "fused_gumbel_argmax", None) if device == "cpu" else None
    seeds = torch.arange(len(logits))

    def draw() -> object:
        if fused is not None:
            return fused(logits, seeds)
        chances = logits.softmax(dim=-1)
        return chances.div_(torch.empty_like(chances).exponential_()).argmax(dim=-1)

    return _least(draw, device) / logits.numel()


def _least(work: Callable[[], object], device: str) -> float:
    """Seconds of the fastest repetition; the first, which prepares, is not counted."""
    import torch

    def done() -> float:
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    times: list[float] = []
    work()
    end = done() + _PATIENCE
    while len(times) < _LEAST or time.perf_counter() < end:
        start = done()
        work()
        times.append(done() - start)
    return min(times)


if __name__ == "__main__":
    main()
