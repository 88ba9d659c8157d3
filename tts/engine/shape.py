"""What a checkpoint's files say of the model: sizes, cache bytes, quantisation, nominal cost.

Reads `config.json` and the sizes of the weight files; never the weights (but for `weights_hash`),
and never torch. The formulas hold for decoder-only transformers with grouped-query attention and a
gated or plain feed-forward part, dense or with a mixture of experts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tts.engine.head import Head, head_of, head_params, labels_of, pooling_task
from tts.errors import ModelNotFound
from tts.types import ModelInfo

# Feed-forward parts of two matrices; all others are taken to be gated, with three.
_PLAIN_FEED_FORWARD = {
    "bloom", "falcon", "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox", "gptj", "mpt", "opt", "phi",
    "starcoder2",
}  # fmt: skip
# Models whose embedding is the output layer as well, unless their configuration says otherwise.
_TIED = ("gemma", "gpt2", "bloom", "falcon", "opt", "mpt")
_ITEM_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "half": 2, "float": 4}


@dataclass(frozen=True, slots=True)
class FeedForward:
    """The feed-forward part of a layer.

    Attributes:
        width: Of what is between its matrices; of a mixture of experts, in one expert.
        matrices: 3 if it is gated, 2 if it is plain.
        experts: Experts of a mixture; 0 for a dense layer.
        chosen: Experts that a token goes through; 0 for a dense layer.
        shared: Width of the expert that every token goes through; 0 if there is none.
    """

    width: int = 0
    matrices: int = 3
    experts: int = 0
    chosen: int = 0
    shared: int = 0

    def params(self, width: int) -> int:
        """Weights of one layer, all experts counted, in a model of a width."""
        return self._params(width, self.experts)

    def active_params(self, width: int) -> int:
        """Weights of one layer that a token meets, in a model of a width."""
        return self._params(width, self.chosen)

    def _params(self, width: int, experts: int) -> int:
        inner = self.width * (experts if self.experts else 1) + self.shared
        return self.matrices * width * inner + width * self.experts


@dataclass(frozen=True, slots=True)
class Shape:
    """A model's sizes.

    Attributes:
        layers: Transformer layers.
        query_heads: Attention heads, per layer.
        key_value_heads: Heads of the cache, per layer.
        head_size: Width of a head.
        active_params: Weights that multiply an activation for each token: attention, feed-forward
            (of a mixture of experts the chosen ones), and the output layer or classification head;
            not the norms, and not the look-up of embeddings.
        context: Positions that the model was made for.
        weight_bytes: Of the weight files.
        dtype: Of the weights as stored.
        quantization: The checkpoint's `quantization_config`; empty if there is none.
        head: What it answers with; None if its architecture is not a known one.
        labels: Values in a row of a classification head; 0 without one.
        pooling_task: What vLLM calls asking such a head; empty without one.
        vocabulary: Number of tokens that it knows: every id is below it.
        width: Of the activations between layers.
        feed_forward: The other part of a layer beside attention.
        tied: Whether the embedding is the output layer as well.
    """

    layers: int
    query_heads: int
    key_value_heads: int
    head_size: int
    active_params: int
    context: int
    weight_bytes: int
    dtype: str
    quantization: Mapping[str, Any] = field(default_factory=dict)
    head: Head | None = "language"
    labels: int = 0
    pooling_task: str = ""
    vocabulary: int = 0
    width: int = 0
    feed_forward: FeedForward = FeedForward()
    tied: bool = False

    @property
    def attention_width(self) -> int:
        """Query heads times head size."""
        return self.query_heads * self.head_size

    @property
    def attention_params(self) -> int:
        """Weights of one layer's four projections."""
        return 2 * self.width * (self.query_heads + self.key_value_heads) * self.head_size

    @property
    def layer_params(self) -> int:
        """Weights of all layers' matrices, all experts counted; what a scheme quantises."""
        each = self.attention_params + self.feed_forward.params(self.width)
        return self.layers * each

    @property
    def head_params(self) -> int:
        """Weights of the output layer or classification head."""
        each = self.attention_params + self.feed_forward.active_params(self.width)
        return self.active_params - self.layers * each

    @property
    def params(self) -> int:
        """All weights: layers, norms, head, and the embedding once if it is the head as well."""
        embedding = 0 if self.tied else self.vocabulary * self.width
        norms = (2 * self.layers + 1) * self.width
        return self.layer_params + norms + self.head_params + embedding

    def cache_bytes(self, item_bytes: int) -> int:
        """Bytes of keys and values of one token, in all layers."""
        return 2 * self.layers * self.key_value_heads * self.head_size * item_bytes


def item_bytes(dtype: str) -> int:
    """Bytes of a number of this type; 1 for anything that is not a plain float."""
    return _ITEM_BYTES.get(dtype, 1)


def read_shape(path: Path) -> Shape:
    """The sizes of the checkpoint in a directory.

    Raises:
        ModelNotFound: `config.json` is no JSON, or lacks what a decoder-only transformer has.
    """
    try:
        whole: dict[str, Any] = json.loads((path / "config.json").read_text())
    except (OSError, ValueError) as error:
        raise ModelNotFound(f"The config.json in '{path}' cannot be read: {error}.") from error
    config: dict[str, Any] = {**whole, **whole.get("text_config", {})}
    try:
        return _shape(config, path)
    except KeyError as missing:
        raise ModelNotFound(
            f"The config.json in '{path}' has no {missing}, so it is no decoder-only transformer.",
            hint="Only decoder-only language models can be loaded.",
        ) from missing


def _shape(config: Mapping[str, Any], path: Path) -> Shape:
    width = _first(config, "hidden_size", "n_embd", "d_model")
    layers = _first(config, "num_hidden_layers", "n_layer", "n_layers")
    heads = _first(config, "num_attention_heads", "n_head", "n_heads")
    groups = config.get("num_key_value_heads") or heads
    size = config.get("head_dim") or width // heads
    attention = 2 * width * heads * size + 2 * width * groups * size
    feed_forward = _feed_forward(config, width)
    per_layer = attention + feed_forward.active_params(width)
    return Shape(
        layers=layers,
        query_heads=heads,
        key_value_heads=groups,
        head_size=size,
        active_params=layers * per_layer + head_params(config, width),
        context=_first(config, "max_position_embeddings", "n_positions", "max_seq_len"),
        weight_bytes=sum(file.stat().st_size for file in weight_files(path)),
        dtype=config.get("dtype") or config.get("torch_dtype") or "float32",
        quantization=config.get("quantization_config") or {},
        head=head_of(config),
        labels=labels_of(config),
        pooling_task=pooling_task(config),
        vocabulary=int(config["vocab_size"]),
        width=width,
        feed_forward=feed_forward,
        tied=bool(
            config.get("tie_word_embeddings", str(config.get("model_type", "")).startswith(_TIED))
        ),
    )


def _feed_forward(config: Mapping[str, Any], width: int) -> FeedForward:
    """The feed-forward part of one layer."""
    matrices = 2 if config.get("model_type") in _PLAIN_FEED_FORWARD else 3
    inner = int(config.get("intermediate_size") or config.get("n_inner") or 4 * width)
    experts = config.get("num_experts") or config.get("num_local_experts") or 0
    if not experts:
        return FeedForward(inner, matrices)
    return FeedForward(
        width=int(config.get("moe_intermediate_size") or inner),
        matrices=matrices,
        experts=int(experts),
        chosen=int(config["num_experts_per_tok"]),
        shared=int(config.get("shared_expert_intermediate_size") or 0),
    )


def _first(config: Mapping[str, Any], *names: str) -> int:
    for name in names:
        if config.get(name):
            return int(config[name])
    raise KeyError(names[0])


def sized(shape: Shape) -> Shape:
    """The shape with the size that its weights would have, where there are none yet."""
    if shape.weight_bytes:
        return shape
    return replace(shape, weight_bytes=shape.params * item_bytes(shape.dtype))


def weight_files(path: Path) -> list[Path]:
    """The weight files of a checkpoint, sorted by name."""
    return sorted(path.glob("*.safetensors")) or sorted(path.glob("*.bin"))


def weights_hash(path: Path) -> str:
    """SHA-256 over names and contents of the weight files: which weights made a result."""
    digest = hashlib.sha256()
    for file in weight_files(path):
        digest.update(file.name.encode())
        with file.open("rb") as data:
            digest.update(hashlib.file_digest(data, "sha256").digest())
    return digest.hexdigest()


def eos_ids(path: Path) -> frozenset[int]:
    """Tokens that end an answer, by the checkpoint's generation and model configurations."""
    found: set[int] = set()
    for name in ("generation_config.json", "config.json"):
        if (path / name).is_file():
            value = json.loads((path / name).read_text()).get("eos_token_id")
            found.update(value if isinstance(value, list) else [value] if value is not None else [])
    return frozenset(found)


def model_info(
    path: Path, name: str = "", context: int | None = None, tokenizer: str = ""
) -> ModelInfo:
    """What the accounts need to know of the checkpoint in a directory.

    Args:
        path: Of the checkpoint.
        name: As the user named it; the directory's own name by default.
        context: Most tokens of prompt and answer; the model's own limit by default.
        tokenizer: Identity of its tokenizer.
    """
    shape = read_shape(path)
    return ModelInfo(
        name=name or path.name,
        active_params=shape.active_params,
        n_layers=shape.layers,
        attention_width=shape.attention_width,
        context=context or shape.context,
        tokenizer=tokenizer,
    )
