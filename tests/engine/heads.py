"""EAGLE heads for the bundled model: linear ones, fitted in closed form within a second.

A head's one layer of attention is silenced (its outputs are zero), so that only `fc` works. What it
reads is what EAGLE prescribes: Li et al. 2024, "EAGLE: Speculative Sampling Requires Rethinking
Feature Uncertainty", and Li et al. 2025, "EAGLE-3".
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import save_file

from experiments.mini.data import encode
from tts.engine.models import BUNDLED
from tts.tasks.mini_problems import LEVELS, generate

_BASE = BUNDLED / "mini-reasoner"
_TEXTS = 240


def eagle(path: Path) -> Path:
    """A head that guesses the next feature from the present one and the token that follows it.

    Args:
        path: Where it goes.
    """
    features, wanted = [], []
    for _, states, embedded in _read():
        features.append(torch.cat((embedded[1:], states[-1][:-1]), dim=1))
        wanted.append(states[-1][1:])
    fc = _fitted(torch.cat(features), torch.cat(wanted))
    return _save(path, "LlamaForCausalLM", "layers.0.", {"fc.weight": fc})


def eagle3(path: Path) -> Path:
    """A head that guesses the token after next from what goes into each of the model's layers.

    Args:
        path: Where it goes.
    """
    features, wanted = [], []
    for ids, states, _ in _read():
        features.append(torch.cat(states[:-1], dim=1)[:-2])
        wanted.append(torch.nn.functional.one_hot(ids[2:], _config()["vocab_size"]).float())
    fc = _fitted(torch.cat(features), torch.cat(wanted))
    words, width = fc.shape[0], _config()["hidden_size"]
    weights = {
        "fc.weight": torch.nn.functional.pad(fc, (0, 0, 0, width - words)),  # a row for each word
        "lm_head.weight": torch.eye(words, width),
        "norm.weight": torch.ones(width),
    }
    return _save(path, "LlamaForCausalLMEagle3", "midlayer.", weights)


def _config() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((_BASE / "config.json").read_text())
    return found


def _read() -> Iterator[tuple[torch.Tensor, tuple[torch.Tensor, ...], torch.Tensor]]:
    """Of each text: ids (tokens,), what goes into the layers and what comes out at last, each of
    shape (tokens, width), and the embeddings."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(_BASE)
    model = transformers.AutoModelForCausalLM.from_pretrained(_BASE, dtype=torch.float32).eval()
    levels = sorted(LEVELS)
    problems = [generate(levels[n % len(levels)], n, "train") for n in range(_TEXTS)]
    with torch.no_grad():
        for row in encode(problems, tokenizer):
            ids = torch.tensor(row.ids)
            states = model(ids[None], output_hidden_states=True).hidden_states
            yield ids, tuple(state[0] for state in states), model.get_input_embeddings()(ids)


def _fitted(features: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Ridge regression: weights of shape (width of `wanted`, width of `features`)."""
    products = features.T @ features
    products += 1e-3 * products.diagonal().mean() * torch.eye(len(products))
    solved: torch.Tensor = torch.linalg.solve(products, features.T @ wanted)
    return solved.T.contiguous()


def _save(path: Path, kind: str, layer: str, weights: Mapping[str, torch.Tensor]) -> Path:
    config = _config()
    width, inner = config["hidden_size"], config["intermediate_size"]
    read = 2 * width if layer == "midlayer." else width
    shapes = {
        "self_attn.q_proj": (width, read),
        "self_attn.k_proj": (width, read),
        "self_attn.v_proj": (width, read),
        "self_attn.o_proj": (width, width),
        "mlp.gate_proj": (inner, width),
        "mlp.up_proj": (inner, width),
        "mlp.down_proj": (width, inner),
    }
    silent = {f"{layer}{name}.weight": torch.zeros(shape) for name, shape in shapes.items()}
    norms = ["post_attention_layernorm"]
    norms += ["input_layernorm", "hidden_norm"] if layer == "midlayer." else []
    ones = {f"{layer}{name}.weight": torch.ones(width) for name in norms}
    path.mkdir(parents=True, exist_ok=True)
    save_file({**silent, **ones, **weights}, path / "model.safetensors")
    said = {**config, "architectures": [kind], "num_hidden_layers": 1, "tie_word_embeddings": False}
    (path / "config.json").write_text(json.dumps(said))
    return path
