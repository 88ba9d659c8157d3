"""Trains a member of the family from scratch and writes it as a Hugging Face directory.

    python -m experiments.mini.train --size mini --out out/mini

An interrupted run goes on from its last checkpoint when started again with the same arguments;
the result does not depend on the interruption.
"""

import argparse
import dataclasses
import itertools
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from experiments.mini.config import SIZES, Size, Training
from experiments.mini.data import IGNORED, Batch, batches
from experiments.mini.model import build_model, build_optimizers, grow, rate_factor
from experiments.mini.sampling import (
    MOST_TOKENS,
    MOST_TOKENS_OF_A_THINKER,
    sampled_accuracy,
)
from experiments.mini.tokenizer import build_tokenizer, save_tokenizer


@dataclasses.dataclass
class Run:
    """What changes during training, and is saved in a checkpoint."""

    model: LlamaForCausalLM
    optimizers: list[torch.optim.Optimizer]
    step: int = 0
    losses: list[float] = dataclasses.field(default_factory=list)

    def save(self, path: Path) -> None:
        """Writes the checkpoint; a crash leaves the former one in place."""
        state = {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "losses": self.losses,
        }
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        os.replace(partial, path)

    def load(self, path: Path) -> None:
        """Takes up a checkpoint of the same size."""
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step, self.losses = state["step"], state["losses"]


def train(
    size: Size,
    out: Path,
    minutes: float = float("inf"),
    compiled: bool = False,
    start: Path | None = None,
) -> Run:
    """Trains until the last step, or until the minutes are over, then writes the model.

    Args:
        size: shape and training settings.
        out: directory of ``checkpoint.pt`` and of the model in ``model/``; a checkpoint that
            lies there is taken up.
        minutes: wall time after which to stop at a checkpoint without writing the model.
        compiled: whether to compile the model, which takes a C++ compiler and a minute, and then
            saves about a quarter of each step.
        start: directory of a reasoner to grow from, or to go on from if it is of the same shape;
            without, the weights are fresh.

    Raises:
        ConfigError: the size does not contain the smaller reasoner.
    """
    training = size.training
    torch.set_num_threads(training.threads)
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = build_tokenizer(thinking=size.thinking is not None)
    if start is None:
        model = build_model(size.shape, training.seed, len(tokenizer))
    else:
        small = LlamaForCausalLM.from_pretrained(start)
        model = grow(small, size.shape, training.seed, len(tokenizer))
    run = Run(model, build_optimizers(model, training))
    checkpoint = out / "checkpoint.pt"
    if checkpoint.exists():
        run.load(checkpoint)
    forward = torch.compile(model, dynamic=True) if compiled else model
    began, first = time.monotonic(), run.step
    stream = batches(tokenizer, training, size.thinking)
    stream = itertools.islice(stream, first, training.steps)
    for batch in stream:
        loss, accuracy = _train_step(run, forward, batch, training)
        elapsed = time.monotonic() - began
        if run.step % training.report_every == 0:
            _report(run, training, loss, accuracy, elapsed / (run.step - first))
        if run.step % training.sample_every == 0:
            print(f"  sampled on validation: {_samples(run, tokenizer, size)}", flush=True)
        over = elapsed > minutes * 60
        if over or run.step % training.checkpoint_every == 0 or run.step == training.steps:
            run.save(checkpoint)
        if over:
            print(f"stopped at step {run.step}; start again to go on", flush=True)
            return run
    write_model(run.model, tokenizer, out / "model")
    return run


def write_model(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, target: Path) -> None:
    """Writes model and tokenizer for transformers and vLLM, replacing files of the same name."""
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(partial)
    save_tokenizer(tokenizer, partial)
    target.mkdir(parents=True, exist_ok=True)
    for file in partial.iterdir():
        os.replace(file, target / file.name)
    partial.rmdir()


def _train_step(
    run: Run, forward: Callable[..., Any], batch: Batch, training: Training
) -> tuple[float, float]:
    """One optimiser step; returns the loss (nats a token) and the share of tokens right."""
    factor = rate_factor(run.step, training)
    for optimizer, rate in zip(
        run.optimizers, (training.muon_rate, training.adam_rate), strict=True
    ):
        for group in optimizer.param_groups:
            group["lr"] = rate * factor
    logits = forward(input_ids=batch.ids, use_cache=False).logits[:, :-1]
    labels = batch.labels[:, 1:]
    counted = labels != IGNORED
    predictions, targets = logits[counted], labels[counted]
    loss = torch.nn.functional.cross_entropy(predictions, targets)
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(run.model.parameters(), training.clip)
    for optimizer in run.optimizers:
        optimizer.step()
        optimizer.zero_grad()
    run.step += 1
    run.losses.append(loss.item())
    right = (predictions.argmax(-1) == targets).float().mean().item()
    return loss.item(), right


def _report(run: Run, training: Training, loss: float, accuracy: float, seconds: float) -> None:
    left = (training.steps - run.step) * seconds / 60
    print(
        f"step {run.step}/{training.steps}  loss {loss:.4f}  tokens right {accuracy:.4f}  "
        f"{seconds:.3f} s/step  {left:.1f} min left",
        flush=True,
    )


def _samples(run: Run, tokenizer: PreTrainedTokenizerFast, size: Size) -> str:
    most = MOST_TOKENS_OF_A_THINKER if size.thinking else MOST_TOKENS
    by_level = sampled_accuracy(run.model, tokenizer, size.training.sample_problems, most)
    mean = sum(by_level.values()) / len(by_level)
    parts = "  ".join(f"{level}: {right:.2f}" for level, right in by_level.items())
    return f"{mean:.3f}  ({parts})"


def main() -> None:
    """Reads the command line and trains."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", choices=sorted(SIZES), default="mini")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint and model go here")
    parser.add_argument("--start", type=Path, help="reasoner to go on or to grow from")
    parser.add_argument("--dose", type=float, help="redundancy of a thinker's thinking, 0 for none")
    parser.add_argument("--steps", type=int, help="optimiser steps instead of the size's own")
    parser.add_argument("--threads", type=int, help="threads instead of the size's own")
    parser.add_argument("--compile", action="store_true", help="compile the model: faster steps")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after these")
    arguments = parser.parse_args()
    size = SIZES[arguments.size]
    training = dataclasses.replace(
        size.training,
        steps=arguments.steps or size.training.steps,
        threads=arguments.threads or size.training.threads,
    )
    thinking = size.thinking
    if arguments.dose is not None:
        if thinking is None:
            parser.error(f"--dose is for thinkers, which the size '{arguments.size}' is not")
        thinking = dataclasses.replace(thinking, dose=arguments.dose)
    size = dataclasses.replace(size, training=training, thinking=thinking)
    train(size, arguments.out, arguments.minutes, arguments.compile, arguments.start)


if __name__ == "__main__":
    main()
