"""Small random checkpoints for tests: a tokenizer, a configuration, and a head."""

from __future__ import annotations

from pathlib import Path

import torch
import transformers

from experiments.mini.tokenizer import build_tokenizer, save_tokenizer


def checkpoint(path: Path, kind: str, *, labels: int = 2, seed: int = 0) -> Path:
    """A Llama of two layers with weights large enough to tell positions apart.

    Args:
        path: Where it goes.
        kind: Of transformers' classes, such as `LlamaForTokenClassification`.
        labels: Values in a row of its head.
        seed: Of the weights.
    """
    torch.manual_seed(seed)
    tokenizer = build_tokenizer()
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        num_labels=labels,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=False,
        initializer_range=0.1,
    )
    model = getattr(transformers, kind)(config)
    if hasattr(model.score, "bias") and model.score.bias is not None:
        torch.nn.init.normal_(model.score.bias)
    model.save_pretrained(path)
    save_tokenizer(tokenizer, path)
    return path


def forward(path: Path, kind: str, ids: list[int]) -> torch.Tensor:
    """Transformers' own logits for one text: (tokens, labels), or (labels,) for a whole text."""
    model = getattr(transformers, kind).from_pretrained(path, dtype=torch.float32).eval()
    with torch.no_grad():
        logits: torch.Tensor = model(input_ids=torch.tensor([ids])).logits[0]
    return logits
