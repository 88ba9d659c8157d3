"""Trains a process reward model on roll-outs of a reasoner, starting from a reasoner's weights.

    python -m experiments.mini.train_prm --data out/rollouts --init out/mini/model --out out/prm

At each token of an answer the model has two logits; the softmax of the second is the chance that
the answer, drawn on from there, comes out right. An interrupted run goes on from its last
checkpoint when started again with the same arguments.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from transformers import LlamaForTokenClassification, LlamaModel

from experiments.mini.config import JUDGES, Judging, Training
from experiments.mini.draws import Tree, read
from experiments.mini.judge import build_judge, empty_judge, halves
from experiments.mini.model import build_optimizers, rate_factor
from experiments.mini.prm_data import Batch, Rows, build_rows, held_out, steps
from experiments.mini.prm_validation import Validation, examine, prepare
from experiments.mini.tokenizer import build_tokenizer
from experiments.mini.train import Run, write_model
from tts.errors import ConfigError


def train(
    judging: Judging,
    data: Path,
    init: Path,
    out: Path,
    minutes: float = float("inf"),
    compiled: bool = False,
) -> Run:
    """Trains until the last step, or until the minutes are over, then writes the model.

    Args:
        judging: the settings.
        data: folder of the roll-outs.
        init: directory of the reasoner to start from.
        out: directory of ``checkpoint.pt`` and of the model in ``model/``; a checkpoint that
            lies there is taken up.
        minutes: wall time after which to stop at a checkpoint without writing the model.
        compiled: whether to compile the model, see `experiments.mini.train`.

    Raises:
        ConfigError: there are too few roll-outs.
    """
    training = judging.training
    torch.set_num_threads(training.threads)
    out.mkdir(parents=True, exist_ok=True)
    learned, validation = _split(read(data), judging)
    checkpoint = out / "checkpoint.pt"
    begun = checkpoint.exists()
    judge = empty_judge(init, judging) if begun else build_judge(init, judging, learned)
    lower, upper = halves(judge, judging.layers)
    run = Run(judge, _optimizers(judge, upper, training))
    if begun:
        run.load(checkpoint)
    forward = _forward(judge, lower, upper, compiled)
    start, first = time.monotonic(), run.step
    stream = steps(learned, training, judging.parts)
    for parts in itertools.islice(stream, first, training.steps):
        _train_step(run, forward, parts, training)
        elapsed = time.monotonic() - start
        if run.step % training.report_every == 0:
            _report(run, training, elapsed / (run.step - first))
        if run.step % training.sample_every == 0 or run.step == training.steps:
            print(f"  held out: {examine(judge, validation, training.batch_tokens)}", flush=True)
        over = elapsed > minutes * 60
        if over or run.step % training.checkpoint_every == 0 or run.step == training.steps:
            run.save(checkpoint)
        if over:
            print(f"stopped at step {run.step}; start again to go on", flush=True)
            return run
    write_model(judge, build_tokenizer(), out / "model")
    return run


def _split(trees: Sequence[Tree], judging: Judging) -> tuple[Rows, Validation]:
    """The rows to learn from, and those held out."""
    sides: tuple[list[Tree], list[Tree]] = ([], [])
    for tree in trees:
        sides[held_out(tree, judging.held_out)].append(tree)
    learned, kept = sides
    if not learned or not kept:
        raise ConfigError(
            f"Of {len(trees)} problems {len(kept)} are held out; neither side may be empty.",
            hint="Draw roll-outs for more problems.",
        )
    rows = build_rows(learned)
    print(
        f"{len(rows):,} rows of {len(learned)} problems, {rows.starts[-1]:,} tokens; "
        f"{len(kept)} problems held out",
        flush=True,
    )
    return rows, prepare(kept, judging.training.sample_problems)


def _optimizers(
    judge: LlamaForTokenClassification, upper: LlamaModel, training: Training
) -> list[torch.optim.Optimizer]:
    """Those of the reasoner for the upper layers; AdamW for the head."""
    muon, adam = build_optimizers(upper, training)
    adam.add_param_group({"params": list(judge.score.parameters())})
    return [muon, adam]


def _forward(
    judge: LlamaForTokenClassification, lower: LlamaModel, upper: LlamaModel, compiled: bool
) -> Callable[[torch.Tensor], torch.Tensor]:
    """From token ids to logits; gradients reach the upper layers and the head only."""
    first, second = (
        torch.compile(half, dynamic=True) if compiled else half for half in (lower, upper)
    )

    def forward(ids: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            states = first(input_ids=ids, use_cache=False).last_hidden_state
        states = second(inputs_embeds=states, use_cache=False).last_hidden_state
        logits: torch.Tensor = judge.score(states)
        return logits

    return forward


def soft_cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Sum of the cross-entropies (nats) to soft targets, over the tokens that have one.

    Args:
        logits: shape (rows, tokens, 2).
        targets: chance of the second label, shape (rows, tokens); not a number to leave out.
    """
    counted = ~targets.isnan()
    right = targets[counted]
    chances = torch.stack([1 - right, right], dim=-1)
    return torch.nn.functional.cross_entropy(logits[counted], chances, reduction="sum")


def _train_step(
    run: Run,
    forward: Callable[[torch.Tensor], torch.Tensor],
    parts: Sequence[Batch],
    training: Training,
) -> None:
    """One optimiser step on the mean loss of all tokens in its parts."""
    factor = rate_factor(run.step, training)
    for optimizer, rate in zip(
        run.optimizers, (training.muon_rate, training.adam_rate), strict=True
    ):
        for group in optimizer.param_groups:
            group["lr"] = rate * factor
    counted = sum(int((~part.targets.isnan()).sum()) for part in parts)
    total = 0.0
    for part in parts:
        logits = forward(part.ids)
        loss = soft_cross_entropy(logits, part.targets) / counted
        torch.autograd.backward(loss)
        total += loss.item()
    torch.nn.utils.clip_grad_norm_(run.model.parameters(), training.clip)
    for optimizer in run.optimizers:
        optimizer.step()
        optimizer.zero_grad()
    run.step += 1
    run.losses.append(total)


def _report(run: Run, training: Training, seconds: float) -> None:
    recent = run.losses[-training.report_every :]
    left = (training.steps - run.step) * seconds / 60
    print(
        f"step {run.step}/{training.steps}  loss {sum(recent) / len(recent):.4f}  "
        f"{seconds:.3f} s/step  {left:.1f} min left",
        flush=True,
    )


def main() -> None:
    """Reads the command line and trains."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", choices=sorted(JUDGES), default="mini", help="settings by name")
    parser.add_argument("--data", type=Path, required=True, help="folder of the roll-outs")
    parser.add_argument("--init", type=Path, required=True, help="reasoner to start from")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint and model go here")
    parser.add_argument("--steps", type=int, help="optimiser steps instead of the settings' own")
    parser.add_argument("--threads", type=int, help="threads instead of the settings' own")
    parser.add_argument("--compile", action="store_true", help="compile the model: faster steps")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after these")
    arguments = parser.parse_args()
    judging = JUDGES[arguments.size]
    training = dataclasses.replace(
        judging.training,
        steps=arguments.steps or judging.training.steps,
        threads=arguments.threads or judging.training.threads,
    )
    judging = dataclasses.replace(judging, training=training)
    train(
        judging, arguments.data, arguments.init, arguments.out,
        arguments.minutes, arguments.compile,
    )  # fmt: skip


if __name__ == "__main__":
    main()
