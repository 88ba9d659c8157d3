"""Inside the engine's processes: vLLM's linear layers with weights as stored and float32 products.

vLLM lets others add a way of handling weights, by the name of a quantisation. This one quantises
nothing: weights stay in the 16 bits of the checkpoint, or in its float32, and each product is made
in float32 by `tts.engine.fixed_product`. Importing this module makes the name known, which must
happen before the engine's arguments are read; the engine's own process imports it with them.

Embeddings are looked up in 16 bits and cast, which is exact. A layer that is none of those that are
known here (a mixture of experts, a state space) is refused, as nobody has looked at its kernels.
Run on vLLM 0.32 (CPU build).
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import embedding
from vllm.config import get_current_vllm_config
from vllm.model_executor.layers.attention import Attention
from vllm.model_executor.layers.linear import (
    LinearBase,
    UnquantizedLinearMethod,
    register_weight_loader_v2_supported_method,
)
from vllm.model_executor.layers.quantization import (
    QuantizationConfig,
    register_quantization_config,
)
from vllm.model_executor.layers.vocab_parallel_embedding import (
    UnquantizedEmbeddingMethod,
    VocabParallelEmbedding,
)

from tts.engine.fixed_product import product
from tts.engine.reproducible import METHOD

_STORED = (torch.bfloat16, torch.float16)


class _AsStored:
    """Weights stay as they are stored; mixed into vLLM's handling of plain weights."""

    def create_weights(self, *args: Any, params_dtype: torch.dtype, **others: Any) -> None:
        """Make room for the weights, in the type of the checkpoint."""
        super().create_weights(*args, params_dtype=_stored(params_dtype), **others)  # type: ignore[misc]

    def process_weights_after_loading(self, layer: torch.nn.Module) -> None:
        """Leave them as they are."""

    def apply(self, layer: Any, x: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        """Multiply activations, float32 of shape (tokens, inputs)."""
        return product(x, layer.weight, bias)


@register_weight_loader_v2_supported_method
class LayerCastLinear(_AsStored, UnquantizedLinearMethod):  # type: ignore[misc, unused-ignore]
    """A linear layer whose weights stay as they are stored."""


class LayerCastEmbedding(_AsStored, UnquantizedEmbeddingMethod):  # type: ignore[misc, unused-ignore]
    """An embedding, or the output layer, whose weights stay as they are stored."""

    def embedding(self, layer: Any, input_: torch.Tensor) -> torch.Tensor:
        """Look tokens up."""
        return embedding(input_, layer.weight).float()


@register_quantization_config(METHOD)
class LayerCastConfig(QuantizationConfig):  # type: ignore[misc, unused-ignore]
    """What vLLM asks of a way of handling weights."""

    def get_name(self) -> Any:
        """Its name."""
        return METHOD

    def get_supported_act_dtypes(self) -> list[torch.dtype]:
        """Types of activations."""
        return [torch.float32]

    @classmethod
    def get_min_capability(cls) -> int:
        """Of a GPU: the least for which vLLM has batch-invariant kernels."""
        return 80

    @staticmethod
    def get_config_filenames() -> list[str]:
        """Files with settings; there are none."""
        return []

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LayerCastConfig:
        """The settings of a checkpoint; there are none."""
        return cls()

    def get_quant_method(self, layer: torch.nn.Module, prefix: str) -> Any:
        """How a layer handles its weights.

        Raises:
            NotImplementedError: The layer is of a kind that is not known.
        """
        if isinstance(layer, LinearBase):
            return LayerCastLinear()
        if isinstance(layer, VocabParallelEmbedding):
            return LayerCastEmbedding()
        if isinstance(layer, Attention):
            return None
        raise NotImplementedError(
            f"reproducible mode does not know layers of the kind {type(layer).__name__} ({prefix})"
        )


def _stored(dtype: torch.dtype) -> torch.dtype:
    """The type of the checkpoint's weights if it has 16 bits, else what the engine wants."""
    stored = getattr(get_current_vllm_config().model_config.hf_config, "dtype", None)
    return stored if stored in _STORED else dtype
