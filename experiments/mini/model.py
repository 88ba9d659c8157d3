"""The model, its two optimisers and the schedule of their rates."""

import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from experiments.mini.config import Shape, Training
from experiments.mini.tokenizer import BEGIN, END, MAX_LENGTH, PAD, VOCABULARY


def build_model(shape: Shape, seed: int) -> LlamaForCausalLM:
    """A Llama model with fresh fp32 weights; embeddings and output layer share theirs."""
    torch.manual_seed(seed)
    begin, end, pad = (VOCABULARY.index(token) for token in (BEGIN, END, PAD))
    config = LlamaConfig(
        vocab_size=len(VOCABULARY),
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
