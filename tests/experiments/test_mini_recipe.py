"""The recipe end to end at its smallest size: a few real training steps."""

import dataclasses
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from experiments.mini.config import SIZES, Shape, Thinking
from experiments.mini.data import IGNORED, batches, encode
from experiments.mini.model import build_optimizers, grow
from experiments.mini.sampling import boxed
from experiments.mini.tokenizer import (
    END,
    VOCABULARY,
    build_tokenizer,
    chat_text,
    save_tokenizer,
)
from experiments.mini.train import train
from tts.engine.models import BUNDLED
from tts.errors import ConfigError
from tts.tasks.mini_problems import LEVELS, generate

SMALLEST = SIZES["smallest"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("mini")
    run = train(SMALLEST, out)
    assert run.step == SMALLEST.training.steps
    assert run.losses[-1] < run.losses[0] - 0.1
    return out


def test_the_result_loads_and_generates(trained: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(trained / "model")
    model = AutoModelForCausalLM.from_pretrained(trained / "model")
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "4+3="}], add_generation_prompt=True, return_tensors="pt"
    )
    output = model.generate(**prompt, max_new_tokens=4)
    assert output.shape[1] <= prompt["input_ids"].shape[1] + 4
    assert model.config.vocab_size == len(VOCABULARY) == len(tokenizer)
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id


def test_an_interrupted_run_ends_like_an_uninterrupted_one(trained: Path, tmp_path: Path) -> None:
    interrupted = train(SMALLEST, tmp_path, minutes=0.0)
    assert interrupted.step == 1
    assert not (tmp_path / "model").exists()
    resumed = train(SMALLEST, tmp_path)
    whole = AutoModelForCausalLM.from_pretrained(trained / "model").state_dict()
    for name, weights in resumed.model.state_dict().items():
        torch.testing.assert_close(weights, whole[name], msg=name)


def test_a_finished_run_started_again_changes_nothing(trained: Path) -> None:
    before = (trained / "model" / "model.safetensors").read_bytes()
    assert train(SMALLEST, trained).step == SMALLEST.training.steps
    assert (trained / "model" / "model.safetensors").read_bytes() == before


def test_a_grown_model_computes_what_the_small_one_does(trained: Path) -> None:
    small = AutoModelForCausalLM.from_pretrained(trained / "model")
    with torch.no_grad():
        for weight in small.parameters():
            weight += 0.1 * torch.randn_like(weight)
    large = grow(small, Shape(layers=3, width=96, heads=3, feed_forward=100), seed=1)
    ids = torch.randint(len(VOCABULARY), (2, 40))
    torch.testing.assert_close(large(ids).logits, small(ids).logits, atol=1e-3, rtol=1e-3)
    optimizers = build_optimizers(large, SMALLEST.training)
    for _ in range(2):
        large.zero_grad()
        large(input_ids=ids, labels=ids).loss.backward()
        for optimizer in optimizers:
            optimizer.step()
    for name, weight in large.named_parameters():
        assert weight.grad.abs().sum() > 0, name


def test_a_reasoner_becomes_a_thinker(trained: Path, tmp_path: Path) -> None:
    small = AutoModelForCausalLM.from_pretrained(trained / "model")
    grown = grow(small, SMALLEST.shape, seed=1, vocabulary=36)
    ids = torch.randint(len(VOCABULARY), (2, 40))
    torch.testing.assert_close(grown(ids).logits[..., :32], small(ids).logits)
    size = dataclasses.replace(SMALLEST, thinking=Thinking(dose=1.0))
    run = train(size, tmp_path, start=trained / "model")
    assert run.losses[-1] < run.losses[0]
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert model.config.vocab_size == len(tokenizer) == 36
    assert tokenizer.tokenize("<think>Wait 4</think>") == ["<think>", "Wait", " ", "4", "</think>"]
    with pytest.raises(ConfigError, match="A model of 32 tokens cannot be grown from one of 36"):
        grow(model, SMALLEST.shape, seed=1, vocabulary=32)


def test_the_tokenizer_files_of_the_reasoner_are_those_that_are_shipped(tmp_path: Path) -> None:
    save_tokenizer(build_tokenizer(), tmp_path)
    for file in tmp_path.iterdir():
        assert file.read_bytes() == (BUNDLED / "mini-reasoner" / file.name).read_bytes(), file.name


@pytest.mark.parametrize(
    "shape",
    [
        Shape(layers=0, width=32, heads=1, feed_forward=64),
        Shape(layers=1, width=64, heads=1, feed_forward=64),
    ],
)
def test_a_model_grows_only_into_what_contains_it(trained: Path, shape: Shape) -> None:
    small = AutoModelForCausalLM.from_pretrained(trained / "model")
    with pytest.raises(ConfigError, match="cannot be grown"):
        grow(small, shape, seed=0)


@pytest.mark.parametrize("level", LEVELS)
def test_the_tokenizer_gives_back_every_text(level: int) -> None:
    tokenizer = build_tokenizer()
    for index in range(20):
        problem = generate(level, index, "test")
        text = chat_text(problem.prompt) + problem.solution + END
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_the_chat_template_gives_the_prompt_of_the_training() -> None:
    tokenizer = build_tokenizer()
    question, solution = "47+38=", "47+38=85\n\n\\boxed{85}"
    messages = [{"role": "user", "content": question}]
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    assert prompt == chat_text(question)
    messages.append({"role": "assistant", "content": solution})
    assert tokenizer.apply_chat_template(messages, tokenize=False) == prompt + solution + END


def test_marks_are_single_tokens_and_strange_characters_are_harmless() -> None:
    tokenizer = build_tokenizer()
    assert tokenizer.tokenize("5 => 7\n\n\\boxed{12}") == [
        "5", " => ", "7", "\n\n", "\\boxed{", "1", "2", "}",
    ]  # fmt: skip
    assert tokenizer("a1é")["input_ids"] == [
        tokenizer.unk_token_id, VOCABULARY.index("1"), tokenizer.unk_token_id,
    ]  # fmt: skip


def test_prompts_and_padding_do_not_count_in_the_loss() -> None:
    tokenizer = build_tokenizer()
    batch = next(batches(tokenizer, SMALLEST.training))
    for ids, labels in zip(batch.ids, batch.labels, strict=True):
        text = tokenizer.decode(ids)
        counted = tokenizer.decode(labels[labels != IGNORED])
        assert counted.endswith("}" + END)
        assert text.split("<|assistant|>")[1].startswith(counted)
    assert batch.ids.numel() <= SMALLEST.training.batch_tokens


def test_batches_hold_all_levels_and_depend_on_nothing_but_the_seed() -> None:
    tokenizer = build_tokenizer()
    training = dataclasses.replace(SMALLEST.training, batch_tokens=100_000)
    first, again = next(batches(tokenizer, training)), next(batches(tokenizer, training))
    assert torch.equal(first.ids, again.ids)
    assert first.ids.shape[0] == training.pool


def test_the_prompt_is_the_first_part_of_an_example() -> None:
    tokenizer = build_tokenizer()
    problem = generate(1, 0, "train")
    (example,) = encode([problem], tokenizer)
    assert tokenizer.decode(example.ids[: example.prompt]) == chat_text(problem.prompt)


@pytest.mark.parametrize(
    ("text", "content"),
    [("\\boxed{7}", "7"), ("\\boxed{7}\\boxed{8}<eos>", "8"), ("7", None), ("\\boxed{7", None)],
)
def test_boxed(text: str, content: str | None) -> None:
    assert boxed(text) == content
