"""A small model that can spell anything, and LoRA adapters for it, with random weights."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

_MODULES = {
    "self_attn.q_proj": (128, 128),
    "self_attn.v_proj": (64, 128),
    "self_attn.o_proj": (128, 128),
    "mlp.gate_proj": (256, 128),
    "mlp.down_proj": (128, 256),
}
_TEMPLATE = "{% for m in messages %}{{ m.content }}{% endfor %}"


def bytewise(path: Path) -> Path:
    """A Llama of two layers with a token for each byte.

    Args:
        path: Where it goes.
    """
    torch.manual_seed(0)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<eos>": 0, **{letter: number for number, letter in enumerate(letters, 1)}}
    inner = Tokenizer(models.BPE(vocabulary, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="<eos>", chat_template=_TEMPLATE
    )
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=128, intermediate_size=256, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512,
        eos_token_id=0, bos_token_id=None, pad_token_id=None, tie_word_embeddings=False,
        initializer_range=0.1,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def adapter(path: Path, seed: int, *, rank: int = 4, layers: int = 2, **settings) -> Path:
    """A LoRA adapter for `bytewise`, as PEFT would save it.

    Args:
        path: Where it goes.
        seed: Of its weights.
        rank: Of its matrices.
        layers: That it changes.
        **settings: Of `adapter_config.json`, beside the usual ones.
    """
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for layer in range(layers):
        for module, (rows, columns) in _MODULES.items():
            name = f"base_model.model.model.layers.{layer}.{module}"
            down, up = (rank, columns), (rows, rank)
            tensors[f"{name}.lora_A.weight"] = torch.randn(down, generator=generator) * 0.1
            tensors[f"{name}.lora_B.weight"] = torch.randn(up, generator=generator) * 0.1
    path.mkdir(parents=True)
    save_file(tensors, path / "adapter_model.safetensors")
    said = {
        "peft_type": "LORA", "r": rank, "lora_alpha": 2 * rank, "bias": "none",
        "target_modules": [module.rpartition(".")[2] for module in _MODULES], **settings,
    }  # fmt: skip
    (path / "adapter_config.json").write_text(json.dumps(said))
    return path


def merged(base: Path, folder: Path | None) -> transformers.LlamaForCausalLM:
    """The model by transformers, with an adapter multiplied out into its weights."""
    model = transformers.LlamaForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    if folder is None:
        return model
    said = json.loads((folder / "adapter_config.json").read_text())
    tensors = load_file(folder / "adapter_model.safetensors")
    weights = dict(model.named_parameters())
    with torch.no_grad():
        for key, down in tensors.items():
            if key.endswith(".lora_A.weight"):
                name = key.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
                up = tensors[key.replace("lora_A", "lora_B")]
                weights[f"{name}.weight"] += said["lora_alpha"] / said["r"] * up @ down
    return model


def logprobs(model: transformers.LlamaForCausalLM, ids: list[int], start: int) -> list[float]:
    """Log-probabilities of the tokens from `start` on."""
    with torch.no_grad():
        scores = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    return [scores[at - 1, ids[at]].item() for at in range(start, len(ids))]
