"""A quick look at a model in training: sampled answers to validation problems."""

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from experiments.mini.tokenizer import BOX, chat_text
from tts.tasks.mini_problems import LEVELS, generate

MOST_TOKENS = 224
MOST_TOKENS_OF_A_THINKER = 768
"""Tokens of an answer that is not yet given up as endless."""


def boxed(text: str) -> str | None:
    """The content of the last box of a text, or None where no box was closed."""
    _, opened, rest = text.rpartition(BOX)
    content, closed, _ = rest.partition("}")
    return content if opened and closed else None


def sampled_accuracy(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    problems: int,
    most: int = MOST_TOKENS,
    temperature: float = 0.8,
) -> dict[int, float]:
    """Share of validation problems answered right by one sample each, by level.

    Args:
        model: the model.
        tokenizer: its tokenizer, padding on the left.
        problems: number of problems of each level.
        most: most tokens of an answer.
        temperature: of the sampling.
    """
    accuracy = {}
    for level in sorted(LEVELS):
        chosen = [generate(level, index, "validation") for index in range(problems)]
        texts = [chat_text(problem.prompt) for problem in chosen]
        inputs = tokenizer(texts, return_tensors="pt", padding=True, return_token_type_ids=False)
        with torch.no_grad():
            outputs = model.generate(
                **inputs, max_new_tokens=most, do_sample=True,
                temperature=temperature, top_k=0,
            )  # fmt: skip
        length = inputs["input_ids"].shape[1]
        answers = [boxed(text) for text in tokenizer.batch_decode(outputs[:, length:])]
        right = [a == problem.answer for a, problem in zip(answers, chosen, strict=True)]
        accuracy[level] = sum(right) / problems
    return accuracy
