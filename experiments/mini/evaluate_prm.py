"""Measures a process reward model on answers that are there, at every one of their tokens.

    python -m experiments.mini.evaluate_prm --prm mini-prm \
        --samples outputs/mini-reasoner/samples --out outputs/mini-prm

The answers are those of a stage of `experiments.mini.evaluate`. `prm.json` in the folder holds the
figures; `experiments.mini.cards` writes them into the card.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from experiments.mini import tables
from experiments.mini.about import about, write
from experiments.mini.pictures import draw
from experiments.mini.prm_figures import figures
from experiments.mini.selection import selection
from experiments.mini.token_scores import RewardModel, read_answers, score
from tts.engine import resolve_model

FIGURES, PICTURE = "prm.json", "prm.png"


def main() -> None:
    """Reads the command line, scores, writes figures and picture, prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--prm", required=True, help="a model that comes with tts, or a directory")
    parser.add_argument("--samples", type=Path, required=True, help="folder of a stage's answers")
    parser.add_argument("--out", type=Path, required=True, help="folder of scores and figures")
    parser.add_argument("--threads", type=int, help="threads of PyTorch")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    model = RewardModel(resolve_model(arguments.prm))
    answers = read_answers(arguments.samples, model.text)
    scored = score(model, answers, arguments.out, _teller())
    found = {"about": about(model.weights), **figures(scored), "selection": selection(scored)}
    write(arguments.out / FIGURES, found)
    draw(found, arguments.out / PICTURE)
    for name in tables.OF_A_PRM:
        print(tables.OF_A_PRM[name](found), end="\n\n")


def _teller() -> Callable[[str], None]:
    """Writes lines with the seconds since now."""
    started = time.monotonic()

    def say(line: str) -> None:
        print(f"{line}, {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)

    return say


if __name__ == "__main__":
    main()
