"""The judge before it learns: what is built into it does what it is for."""

import dataclasses

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from experiments.mini.config import JUDGES, SIZES, Comparing
from experiments.mini.draws import Draw, Tree
from experiments.mini.judge import Layout, build_judge, halves
from experiments.mini.prm_data import build_rows, pad
from experiments.mini.tokenizer import PAD, VOCABULARY, build_tokenizer, chat_text
from experiments.mini.train import train
from tts.engine.models import BUNDLED
from tts.errors import ConfigError
from tts.tasks.mini_problems import LEVELS, generate

JUDGING = dataclasses.replace(
    JUDGES["smallest"], feed_forward=416, comparing=Comparing(tokens=9000, steps=60)
)


def tree(level, index):
    """A worked solution in which one digit is not what it should be."""
    tokenizer = build_tokenizer()
    problem = generate(level, index, "train")
    prompt = tokenizer(chat_text(problem.prompt), add_special_tokens=False).input_ids
    answer = tokenizer(problem.solution, add_special_tokens=False).input_ids
    digits = [place for place, token in enumerate(answer) if VOCABULARY[token].isdigit()]
    place = digits[index % len(digits)]
    zero = VOCABULARY.index("0")
    answer[place] = zero + (answer[place] - zero + 1 + index % 9) % 10
    return Tree(problem.id, level, tuple(prompt), (Draw(tuple(answer), True, False),))


@pytest.fixture(scope="module")
def built():
    rows = build_rows([tree(level, index) for level in LEVELS for index in range(40)])
    reasoner = AutoModelForCausalLM.from_pretrained(BUNDLED / "mini-reasoner")
    return reasoner, build_judge(BUNDLED / "mini-reasoner", JUDGING, rows), rows


@pytest.fixture
def seen(built):
    """Logits of the reasoner, and states of the judge around its comparing layer."""
    reasoner, judge, rows = built
    ids = pad(rows, np.arange(0, len(rows), 3)).ids
    comparing = judge.model.layers[reasoner.config.num_hidden_layers]
    states = {}
    hooks = [
        comparing.register_forward_hook(lambda *a: states.update(before=a[1][0], after=a[2])),
        comparing.post_attention_layernorm.register_forward_hook(
            lambda *a: states.update(brought=a[1][0])
        ),
    ]
    with torch.inference_mode():
        judge(input_ids=ids, use_cache=False)
        logits = reasoner(input_ids=ids, use_cache=False).logits
    for hook in hooks:
        hook.remove()
    return ids, ids != VOCABULARY.index(PAD), logits, states


def test_the_reasoner_in_it_expects_what_it_did(built, seen):
    reasoner, _, _ = built
    _, real, logits, states = seen
    width = reasoner.config.hidden_size
    with torch.inference_mode():
        inside = reasoner.lm_head(reasoner.model.norm(states["before"][..., :width]))
    moved = logits.softmax(-1) * (logits.log_softmax(-1) - inside.log_softmax(-1))
    assert moved.sum(-1)[real].mean() < 1e-3


def test_each_place_is_brought_what_was_expected_there(built, seen):
    reasoner, _, _ = built
    _, real, logits, states = seen
    brought = states["brought"][..., Layout.of(reasoner.config.hidden_size).expected]
    expected = logits - logits.mean(-1, keepdim=True)
    there = real[:, 1:]
    pairs = torch.stack([brought[:, 1:][there].flatten(), expected[:, :-1][there].flatten()])
    assert torch.corrcoef(pairs)[0, 1] > 0.85  # some places look back in vain


def test_it_knows_what_surprised_the_reasoner(built, seen):
    reasoner, _, _ = built
    ids, real, logits, states = seen
    written = states["after"][:, 1:, Layout.of(reasoner.config.hidden_size).surprise]
    chances = logits[:, :-1].log_softmax(-1)
    share = chances.gather(-1, ids[:, 1:, None])[..., 0] - chances.amax(-1)
    solution = (ids == VOCABULARY.index("=")).cumsum(1)[:, 1:] > 1
    counted = real[:, 1:] & solution
    surprising = counted & (share < np.log(0.01))
    expected = counted & (share > np.log(0.9))
    above = written[expected][:, None] > written[surprising]
    assert above.float().mean() > 0.9


def test_what_is_built_in_does_not_learn(built):
    _, judge, _ = built
    lower, upper = halves(judge, JUDGING.layers)
    assert not any(weight.requires_grad for weight in lower.parameters())
    assert all(weight.requires_grad for weight in upper.parameters())
    ids = torch.tensor([[2, 4, 6, 16, 7, 19, 5, 6]])
    with torch.inference_mode():
        states = lower(input_ids=ids, use_cache=False).last_hidden_state
        states = upper(inputs_embeds=states, use_cache=False).last_hidden_state
        torch.testing.assert_close(
            judge.score(states), judge(input_ids=ids, use_cache=False).logits
        )


def test_a_head_that_cannot_hold_the_vocabulary_is_refused(built, tmp_path):
    shape = dataclasses.replace(SIZES["smallest"].shape, width=64)
    size = dataclasses.replace(SIZES["smallest"], shape=shape)
    train(size, tmp_path)
    with pytest.raises(ConfigError, match="the size 64, not 32"):
        build_judge(tmp_path / "model", JUDGING, built[2])
