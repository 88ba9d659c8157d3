"""The process reward model as it is before it learns from roll-outs.

A reasoner knows what should come next, but at its last layer only, one place before it comes; to
see a slip takes layers on top that hold the one against the other. Left to find that out from
outcomes, of which there is one an answer, they need far more roll-outs than are worth drawing. So
the judge begins with the comparison made:

1. The reasoner's layers, grown in width (`model.grow`), with the scale of their states brought to
   one. Of the empty width, one part carries a code of the token at each place through all layers.
2. A layer whose first head looks at the place before and brings what the reasoner expected there,
   its logits, into the other part. Its feed-forward part is fitted to how likely the token was,
   next to the likeliest one, in the eyes of the reasoner itself: no label, no outcome, no oracle.
3. Fresh layers that add nothing yet, and a head of two labels.

What an answer is worth after a surprising token, an unusual order of steps or a slip, is for the
fresh layers to learn from roll-outs (`train_prm`); the rest stays as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import LlamaForCausalLM, LlamaForTokenClassification, LlamaModel
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from experiments.mini.config import Comparing, Judging, Shape
from experiments.mini.model import grow
from experiments.mini.prm_data import Rows, cut, pad
from experiments.mini.tokenizer import PAD, VOCABULARY
from tts.errors import ConfigError

LABELS = {0: "wrong", 1: "right"}

_TOKENS = len(VOCABULARY)
_CODE_SHARE = 0.03
"""Length of a token's code next to that of its embedding: too short to disturb the reasoner."""
_CODE_SIZE = 2.0
"""Of a code where it is read, behind the norms of the comparing layer."""
_FREQUENCIES = 5
_THRESHOLD = 4.66
"""Between the sums of the cosines at the place before (5.0) and one beside it (4.32)."""
_SHARPNESS = 1500.0
_SAMPLE_ROWS = 64


@dataclass(frozen=True)
class Layout:
    """Where in the width of a judge things lie.

    Attributes:
        reasoner: the reasoner's part.
        expected: what the reasoner expected at the place before, a logit for each token.
        code: which token stands at this place. No text holds padding, so the code of padding has
            room for how expected the token was.
    """

    reasoner: slice
    expected: slice
    code: slice

    @classmethod
    def of(cls, width: int) -> Layout:
        """Around a reasoner of a width."""
        return cls(
            slice(0, width),
            slice(width, width + _TOKENS),
            slice(width + _TOKENS, width + 2 * _TOKENS),
        )

    @property
    def surprise(self) -> int:
        """Where the comparing layer writes."""
        return int(self.code.start) + VOCABULARY.index(PAD)


def build_judge(init: Path, judging: Judging, rows: Rows) -> LlamaForTokenClassification:
    """A judge whose fresh layers and head have learned nothing yet; no dropout.

    Args:
        init: directory of the reasoner.
        judging: the settings.
        rows: answers of the reasoner; their targets are not looked at, but for which are none.
    """
    judge = empty_judge(init, judging)
    reasoner = LlamaForCausalLM.from_pretrained(init)
    layout = Layout.of(reasoner.config.hidden_size)
    number = reasoner.config.num_hidden_layers
    sample = pad(rows, np.linspace(0, len(rows) - 1, _SAMPLE_ROWS).astype(np.int64)).ids
    with torch.no_grad():
        states = _calm(judge, reasoner, sample)
        _write_codes(judge, reasoner, layout)
        _look_back(judge.model.layers[number], reasoner, states, layout)
        _pair_up(judge.model.layers[number], layout)
    surprises = _surprises(judge, reasoner, rows, judging)
    _fit(judge.model.layers[number], *surprises, judging.comparing, layout)
    return judge


def empty_judge(init: Path, judging: Judging) -> LlamaForTokenClassification:
    """A judge grown from a reasoner, of the right shape; the added layers are not set up.

    Raises:
        ConfigError: the reasoner's heads are not of the size of the vocabulary.
    """
    reasoner = LlamaForCausalLM.from_pretrained(init)
    config = reasoner.config
    size = config.hidden_size // config.num_attention_heads
    if size != _TOKENS:
        raise ConfigError(
            f"The heads of the reasoner in {init} have the size {size}, not {_TOKENS}.",
            hint="One head brings a logit for each token; take a reasoner of this family.",
        )
    shape = Shape(
        layers=config.num_hidden_layers + 1 + judging.layers,
        width=config.hidden_size + 2 * _TOKENS,
        heads=config.num_attention_heads + 2,
        feed_forward=judging.feed_forward,
    )
    large = grow(reasoner, shape, judging.training.seed)
    config = copy.deepcopy(large.config)
    config.id2label = LABELS
    config.label2id = {label: number for number, label in LABELS.items()}
    config.classifier_dropout = 0.0
    torch.manual_seed(judging.training.seed)
    judge = LlamaForTokenClassification(config)
    judge.model.load_state_dict(large.model.state_dict())
    for layer in judge.model.layers[reasoner.config.num_hidden_layers :]:
        torch.nn.init.ones_(layer.input_layernorm.weight)
        torch.nn.init.ones_(layer.post_attention_layernorm.weight)
    torch.nn.init.ones_(judge.model.norm.weight)
    return judge


def halves(judge: LlamaForTokenClassification, layers: int) -> tuple[LlamaModel, LlamaModel]:
    """What stays as it is, and the last layers with the norm; they share the judge's weights.

    The first takes ``input_ids``, the second the states of the first as ``inputs_embeds``.
    """
    lower, upper = (_bare(judge, part) for part in (slice(None, -layers), slice(-layers, None)))
    lower.embed_tokens = judge.model.embed_tokens
    upper.norm = judge.model.norm
    lower.requires_grad_(False)
    return lower, upper


def _bare(judge: LlamaForTokenClassification, part: slice) -> LlamaModel:
    """Some layers of a judge without embeddings and norm."""
    config = copy.deepcopy(judge.config)
    config.num_hidden_layers = len(judge.model.layers[part])
    model = LlamaModel(config)
    model.layers = judge.model.layers[part]
    model.embed_tokens = model.norm = torch.nn.Identity()
    return model


def _calm(
    judge: LlamaForTokenClassification, reasoner: LlamaForCausalLM, sample: torch.Tensor
) -> torch.Tensor:
    """Brings the states behind the reasoner's layers to a root mean square of one.

    The norms before each layer make the scale arbitrary, and what fresh layers write is small.

    Returns:
        The reasoner's last states over the sample's tokens, behind its norm, shape (tokens, width).
    """
    with _watched(reasoner.model.norm) as seen:
        reasoner(input_ids=sample)
    real = sample != VOCABULARY.index(PAD)
    scale = seen["in"][real].pow(2).mean().sqrt()
    judge.model.embed_tokens.weight /= scale
    for layer in judge.model.layers[: reasoner.config.num_hidden_layers]:
        layer.self_attn.o_proj.weight /= scale
        layer.mlp.down_proj.weight /= scale
    return seen["out"][real]


def _write_codes(
    judge: LlamaForTokenClassification, reasoner: LlamaForCausalLM, layout: Layout
) -> None:
    """Gives each token a code that passes through the reasoner's layers, and has it read."""
    number = reasoner.config.num_hidden_layers
    embeddings = judge.model.embed_tokens.weight
    length = embeddings[:, layout.reasoner].norm(dim=1).mean() * _CODE_SHARE
    embeddings[:, layout.code] = torch.eye(_TOKENS) * length
    comparing = judge.model.layers[number]
    comparing.post_attention_layernorm.weight[layout.code] = _CODE_SIZE / length


def _look_back(
    layer: LlamaDecoderLayer, reasoner: LlamaForCausalLM, states: torch.Tensor, layout: Layout
) -> None:
    r"""Makes the first head bring the logits at the place before.

    Queries and keys are constant but for the rotation, which makes the score of the place d before
    the sum of :math:`\cos \theta_i (d - 1)` over the fastest frequencies, less a threshold that
    only d = 1 exceeds; the slowest rotation, that hardly turns, carries the threshold. What is
    constant in the states is found by least squares, so the signs are right and no more.
    """
    width, size = layout.reasoner.stop, _TOKENS
    layer.input_layernorm.weight[layout.reasoner] = (
        reasoner.model.norm.weight * (width / len(layer.input_layernorm.weight)) ** 0.5
    )
    double = states.double()
    ridge = 1e-6 * len(states) * torch.eye(width, dtype=torch.double)
    constant = torch.linalg.solve(double.T @ double + ridge, double.sum(0)).float()
    half = size // 2
    angles = 10_000.0 ** (-torch.arange(half) / half)
    fast = torch.zeros(half)
    fast[:_FREQUENCIES] = _SHARPNESS**0.5
    slow = torch.zeros(half)
    slow[-1] = (_THRESHOLD * _SHARPNESS) ** 0.5
    query = torch.cat([fast + slow, torch.zeros(half)])
    key = torch.cat([fast * angles.cos() - slow, fast * angles.sin()])
    unembed = reasoner.lm_head.weight - reasoner.lm_head.weight.mean(0)
    attention = layer.self_attn
    for projection, rows in (
        (attention.q_proj, torch.outer(query, constant)),
        (attention.k_proj, torch.outer(key, constant)),
        (attention.v_proj, unembed),
    ):
        projection.weight[:size] = 0.0
        projection.weight[:size, layout.reasoner] = rows
    scale = (states @ unembed.T).pow(2).mean().sqrt()
    attention.o_proj.weight[layout.expected, :size] = torch.eye(size) / scale


def _pair_up(layer: LlamaDecoderLayer, layout: Layout) -> None:
    """Gives each token two inner units: its logit if it came, and its logit if that is high."""
    gate, up = layer.mlp.gate_proj.weight, layer.mlp.up_proj.weight
    came, high = slice(0, _TOKENS), slice(_TOKENS, 2 * _TOKENS)
    for matrix in (gate, up):
        matrix[: 2 * _TOKENS] = 0.0
    gate[came, layout.code] = torch.eye(_TOKENS) * 4.0 / _CODE_SIZE
    up[came, layout.expected] = torch.eye(_TOKENS) / 4.0
    gate[high, layout.expected] = torch.eye(_TOKENS) * 2.0
    up[high, layout.code] = 0.5 / _CODE_SIZE


@torch.no_grad()
def _surprises(
    judge: LlamaForTokenClassification, reasoner: LlamaForCausalLM, rows: Rows, judging: Judging
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the comparing layer's inner units see, and how expected the tokens were.

    Returns:
        Shapes (tokens, width) and (tokens,): the reasoner's chance of each token over that of its
        likeliest one.
    """
    compare = reasoner.config.num_hidden_layers
    lower, _ = halves(judge, judging.layers)
    order = np.random.default_rng(judging.training.seed).permutation(len(rows))
    tokens = np.add.reduceat(~np.isnan(rows.targets), rows.starts[:-1])[order].cumsum()
    order = order[: np.searchsorted(tokens, judging.comparing.tokens) + 1]
    seen, expected = [], []
    for members in cut(rows, order, judging.training.batch_tokens):
        batch = pad(rows, members)
        counted = ~batch.targets.isnan()[:, 1:]
        with _watched(judge.model.layers[compare].post_attention_layernorm) as states:
            lower(input_ids=batch.ids, use_cache=False)
        chances = reasoner(input_ids=batch.ids, use_cache=False).logits[:, :-1].log_softmax(-1)
        came = chances.gather(-1, batch.ids[:, 1:, None])[..., 0]
        seen.append(states["out"][:, 1:][counted])
        expected.append((came - chances.amax(-1))[counted].exp())
    return torch.cat(seen), torch.cat(expected)


def _fit(
    layer: LlamaDecoderLayer,
    seen: torch.Tensor,
    expected: torch.Tensor,
    comparing: Comparing,
    layout: Layout,
) -> None:
    """Fits the feed-forward part to write how expected each token was, as a logit."""
    ends = layer.mlp.gate_proj.weight, layer.mlp.up_proj.weight
    gate, up = (matrix.detach().clone().requires_grad_() for matrix in ends)
    down = torch.zeros(1, len(gate), requires_grad=True)
    bias = torch.full((1,), 3.0, requires_grad=True)
    muon = torch.optim.Muon([gate, up], lr=comparing.muon_rate, weight_decay=0.01, momentum=0.95)
    adam = torch.optim.AdamW([down, bias], lr=comparing.adam_rate, weight_decay=0.0)
    rates = torch.optim.lr_scheduler.LambdaLR
    fall = [
        rates(optimizer, lambda step: min(1.0, 2.0 * (1.0 - step / comparing.steps)))
        for optimizer in (muon, adam)
    ]
    draws = torch.Generator().manual_seed(0)
    loss = torch.zeros(())
    for _ in range(comparing.steps):
        chosen = torch.randint(len(seen), (comparing.batch_tokens,), generator=draws)
        inner = torch.nn.functional.silu(seen[chosen] @ gate.T) * (seen[chosen] @ up.T)
        logits = (inner @ down.T)[:, 0] + bias
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, expected[chosen])
        torch.autograd.backward(loss)
        for optimizer, scheduler in zip((muon, adam), fall, strict=True):
            optimizer.step()
            optimizer.zero_grad()
            scheduler.step()
    print(f"comparing layer: {len(seen):,} tokens, loss {loss.item():.4f}", flush=True)
    with torch.no_grad():
        for matrix, fitted in zip(ends, (gate, up), strict=True):
            matrix.copy_(fitted)
        layer.mlp.down_proj.weight[layout.surprise] = down[0]


@contextmanager
def _watched(module: torch.nn.Module) -> Iterator[dict[str, torch.Tensor]]:
    """What goes into a module, and what comes out, the last time."""
    seen: dict[str, Any] = {}

    def keep(_: torch.nn.Module, given: tuple[torch.Tensor, ...], result: torch.Tensor) -> None:
        seen.update({"in": given[0], "out": result})

    handle = module.register_forward_hook(keep)
    try:
        yield seen
    finally:
        handle.remove()
