"""The model, how it grows, its two optimisers and the schedule of their rates."""

from dataclasses import astuple

import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from experiments.mini.config import Shape, Training
from experiments.mini.tokenizer import BEGIN, END, MAX_LENGTH, PAD, VOCABULARY
from tts.errors import ConfigError


def build_model(shape: Shape, seed: int, vocabulary: int = len(VOCABULARY)) -> LlamaForCausalLM:
    """A Llama model with fresh fp32 weights; embeddings and output layer share theirs.

    Args:
        shape: of the model.
        seed: of the weights.
        vocabulary: number of tokens.
    """
    torch.manual_seed(seed)
    begin, end, pad = (VOCABULARY.index(token) for token in (BEGIN, END, PAD))
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.feed_forward,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        max_position_embeddings=MAX_LENGTH,
        tie_word_embeddings=True,
        bos_token_id=begin,
        eos_token_id=end,
        pad_token_id=pad,
    )
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(
        bos_token_id=begin, eos_token_id=end, pad_token_id=pad, do_sample=True, temperature=0.8
    )
    return model


def grow(
    small: LlamaForCausalLM, shape: Shape, seed: int, vocabulary: int | None = None
) -> LlamaForCausalLM:
    """A larger model that computes what a smaller one does.

    What is new reads from everywhere and writes nothing yet: the added width is empty, the output
    matrices of added heads, inner units and layers are zero. So training goes on from where the
    small model is, and finds a use for the rest (Chen, Goodfellow and Shlens 2016, "Net2Net").
    Added tokens have fresh embeddings.

    Args:
        small: the smaller model.
        shape: of the larger one; no number less than the small one's, heads of the same size.
        seed: of the new weights.
        vocabulary: number of tokens, no less than the small one's; its number if not given.

    Raises:
        ConfigError: the shape does not contain the smaller one.
    """
    vocabulary = vocabulary or small.config.vocab_size
    _check_contains(shape, vocabulary, small.config)
    large = build_model(shape, seed, vocabulary)
    width, inner = small.config.hidden_size, small.config.intermediate_size
    # The root mean square is now taken over the empty width as well.
    norm = (width / shape.width) ** 0.5
    with torch.no_grad():
        known = large.model.embed_tokens.weight[: small.config.vocab_size]
        known.zero_()[:, :width] = small.model.embed_tokens.weight
        large.model.norm.weight.fill_(norm)[:width] = small.model.norm.weight * norm
        for layer in large.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        for new, old in zip(large.model.layers, small.model.layers, strict=False):
            for name in ("q_proj", "k_proj", "v_proj"):
                matrix = getattr(new.self_attn, name).weight
                matrix[:width, :width] = getattr(old.self_attn, name).weight
            new.self_attn.o_proj.weight[:width, :width] = old.self_attn.o_proj.weight
            new.mlp.gate_proj.weight[:inner, :width] = old.mlp.gate_proj.weight
            new.mlp.up_proj.weight[:inner, :width] = old.mlp.up_proj.weight
            new.mlp.down_proj.weight[:width, :inner] = old.mlp.down_proj.weight
            for name in ("input_layernorm", "post_attention_layernorm"):
                weight = getattr(new, name).weight
                weight.fill_(norm)[:width] = getattr(old, name).weight * norm
    return large


def _check_contains(shape: Shape, vocabulary: int, small: LlamaConfig) -> None:
    if vocabulary < small.vocab_size:
        raise ConfigError(
            f"A model of {vocabulary} tokens cannot be grown from one of {small.vocab_size}.",
            hint="A reasoner may become a thinker, not the other way round.",
        )
    inside = Shape(
        small.num_hidden_layers,
        small.hidden_size,
        small.num_attention_heads,
        small.intermediate_size,
    )
    contains = all(new >= old for new, old in zip(astuple(shape), astuple(inside), strict=True))
    if not contains or shape.width * inside.heads != inside.width * shape.heads:
        raise ConfigError(
            f"A model of {shape} cannot be grown from one of {inside}.",
            hint="No number may be less, and the heads must be of the same size (width / heads).",
        )


def build_optimizers(model: LlamaForCausalLM, training: Training) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, AdamW for the embeddings and the norms."""
    named = list(model.named_parameters())
    matrices = [p for name, p in named if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in named if p.ndim != 2 or "embed" in name]
    return [
        torch.optim.Muon(
            matrices, lr=training.muon_rate, weight_decay=training.weight_decay, momentum=0.95
        ),
        torch.optim.AdamW(others, lr=training.adam_rate, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def rate_factor(step: int, training: Training) -> float:
    """What the learning rates are multiplied with at a step: rise, plateau, linear fall."""
    rise = (step + 1) / max(1, training.warmup)
    fall = (training.steps - step) / max(1, training.decay)
    return min(1.0, rise, fall)
