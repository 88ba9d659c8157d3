"""What decides an engine's outputs, in a form that records and caches can be filed under."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from tts.engine.resolved import GRAMMARS, ResolvedConfig
from tts.engine.shape import weights_hash
from tts.engine.steering import PROCESSOR
from tts.engine.text import Text

# Arguments of the engine that say how much and when, not what.
_LAYOUT = frozenset(
    {
        "model", "max_model_len", "max_num_seqs", "max_num_batched_tokens", "max_logprobs",
        "block_size", "kv_cache_memory_bytes", "gpu_memory_utilization", "enable_prefix_caching",
        "enable_chunked_prefill", "disable_log_stats", "use_tqdm_on_load", "worker_extension_cls",
        "skip_tokenizer_init", "enable_lora", "max_loras", "max_cpu_loras", "max_lora_rank",
        "pipeline_parallel_size", "data_parallel_size",
        "distributed_executor_backend", "enable_sleep_mode",
    }
)  # fmt: skip


def identity_of(config: ResolvedConfig, text: Text, weights: str) -> dict[str, Any]:
    """The checkpoint and the numerics, of JSON types.

    The model's name and path say nothing about the outputs, nor do sizes and schedules.

    Args:
        config: The engine's settings.
        text: The model's tokenizer.
        weights: Hash of the model's weights.
    """
    contents = (config.path / "config.json").read_bytes()
    template = (text.chat_template or "").encode()
    # Models with this kind of positions scale them by the engine's context.
    layout = _LAYOUT - {"max_model_len"} if b'"longrope"' in contents else _LAYOUT
    engine = {k: v for k, v in config.arguments.items() if k not in layout}
    drafts = engine.get("speculative_config") or {}
    if drafts.get("model") and Path(drafts["model"]).is_dir():  # wherever it lies
        drafting = weights_hash(Path(drafts["model"]))[:16]
        engine["speculative_config"] = {**drafts, "model": drafting}
    # Ours change nothing unless a request asks for it.
    if engine.get("structured_outputs_config") == GRAMMARS:
        del engine["structured_outputs_config"]
    loaded = engine.pop("logits_processors", None) or ()
    others = [each for each in loaded if each != PROCESSOR]
    if others:
        engine["logits_processors"] = others
    return {
        "weights": weights,
        "tokenizer": text.identity,
        "chat_template": hashlib.sha256(template).hexdigest()[:16],
        "config": hashlib.sha256(contents).hexdigest()[:16],
        "device": "cuda" if config.on_cuda else "cpu",
        "engine": engine,
    }
