"""The arithmetic of steering: some rows of a batch's logits are changed, all at once.

The temperature of one token cannot be applied to its raw logit: softmax does not care for what is
added to all logits of a row, but `z / T` of one of them does. So it is applied to the token's
log-probability: with `L = logsumexp(z)`, the logit `z` becomes `L + (z - L) / T`. The biases come
after that. Both act on what the model says, before the sampling's temperature, top-k and the like.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from tts.engine.steering import Entry


@dataclass(frozen=True, slots=True)
class Layout:
    """What is changed in a batch. Of B biases and T temperatures in R rows.

    Attributes:
        bias_at: Rows and ids, each of shape (B,).
        bias: float32, shape (B,).
        rows: Rows that have temperatures, shape (R,).
        row_of: For each temperature its place in `rows`, shape (T,).
        ids: Of the temperatures, shape (T,).
        temperatures: float32, shape (T,).
    """

    bias_at: tuple[torch.Tensor, torch.Tensor]
    bias: torch.Tensor
    rows: torch.Tensor
    row_of: torch.Tensor
    ids: torch.Tensor
    temperatures: torch.Tensor


def lay_out(entries: Mapping[int, Entry], device: torch.device) -> Layout:
    """Lay out the entries of a batch, which are given by row."""
    biases = [(row, *pair) for row, entry in entries.items() for pair in entry.bias]
    heated = [row for row, entry in entries.items() if entry.temperatures]
    temperatures = [
        (place, *pair) for place, row in enumerate(heated) for pair in entries[row].temperatures
    ]

    def numbers(values: list[int]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.int64, device=device)

    def reals(values: list[float]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.float32, device=device)

    return Layout(
        bias_at=(
            numbers([row for row, _, _ in biases]),
            numbers([token for _, token, _ in biases]),
        ),
        bias=reals([value for _, _, value in biases]),
        rows=numbers(heated),
        row_of=numbers([place for place, _, _ in temperatures]),
        ids=numbers([token for _, token, _ in temperatures]),
        temperatures=reals([value for _, _, value in temperatures]),
    )


def steer(logits: torch.Tensor, layout: Layout) -> torch.Tensor:
    """Change logits in place.

    Args:
        logits: float32, shape (rows of the batch, vocabulary).
        layout: Made for this batch.
    """
    if len(layout.ids):
        norms = torch.logsumexp(logits[layout.rows], dim=-1)[layout.row_of]
        at = layout.rows[layout.row_of], layout.ids
        logits[at] = norms + (logits[at] - norms) / layout.temperatures
    if len(layout.bias):
        logits[layout.bias_at] += layout.bias
    return logits
