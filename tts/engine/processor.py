"""Inside the engine's processes: steering as a logits processor of vLLM's.

vLLM has two model runners, each with an interface of its own for such processors, and decides by
itself which of them runs a model (on a processor always the first). This class has both: the first
runner tells which request is in which row of the batch, the second gives each request a slot and
says at each step which slots are in which rows. vLLM refuses processors beside speculative decoding
and in pooling models, so it is not loaded there.

The first interface is run by the tests with the real engine, version 0.32 (CPU build); the second
only by itself, for want of a GPU.
"""

from __future__ import annotations

from typing import Any

import torch
from vllm.v1.sample.logits_processor import LogitsProcessor as OfFirstRunner
from vllm.v1.sample.logits_processor.builtin import process_dict_updates

from tts.engine.logits import Layout, lay_out, steer
from tts.engine.steering import Entry

try:
    from vllm.v1.worker.gpu.sample.logits_processor import LogitsProcessor as OfSecondRunner
except ImportError:  # a version whose second runner takes no processors
    OfSecondRunner = object


class SteeringProcessor(OfFirstRunner, OfSecondRunner):  # type: ignore[misc, unused-ignore]
    """Steers the requests that ask for it, and costs the others nothing.

    Args:
        vllm_config: Of the engine; not used.
        where: The device, or for the second runner the state of its requests, which knows it.
        pinned: Whether memory is pinned; not used.
    """

    def __init__(self, vllm_config: Any, where: Any, pinned: bool = False) -> None:
        self._device = torch.device(getattr(where, "device", where))
        self._entries: dict[int, Entry] = {}  # by row, or for the second runner by slot
        self._layout: Layout | None = None  # None where nothing is steered, or none was made yet
        self._slots = b""  # of the batch that the layout was made for

    def is_argmax_invariant(self) -> bool:
        """False: it changes which token is the likeliest."""
        return False

    def update_state(self, batch_update: Any) -> None:
        """First runner: requests have come, gone or moved."""
        if process_dict_updates(self._entries, batch_update, _read):
            self._layout = lay_out(self._entries, self._device) if self._entries else None

    def add_request(self, req_idx: int, sampling_params: Any) -> bool:
        """Second runner: a request takes a slot; whether it is steered."""
        entry = Entry.read(sampling_params.extra_args)
        if entry is None:
            self._entries.pop(req_idx, None)
        else:
            self._entries[req_idx] = entry
        self._slots, self._layout = b"", None
        return entry is not None

    def apply(self, logits: torch.Tensor, ctx: Any = None) -> torch.Tensor:
        """Change logits in place, float32 of shape (rows, vocabulary).

        Args:
            logits: Of the batch.
            ctx: Which slots are in which rows; the second runner says so.
        """
        if ctx is not None and self._entries:
            self._follow(ctx.idx_mapping_np[: len(logits)])
        return logits if self._layout is None else steer(logits, self._layout)

    def _follow(self, slots: Any) -> None:
        """Lay out a batch of the second runner, unless it is the one that was there before."""
        if slots.tobytes() == self._slots:
            return
        self._slots = slots.tobytes()
        # Slots are not given back, only taken anew: entries of requests that are gone are skipped.
        there = {
            row: self._entries[slot]
            for row, slot in enumerate(slots.tolist())
            if slot in self._entries
        }
        self._layout = lay_out(there, self._device) if there else None


def _read(params: Any, *_: Any) -> Entry | None:
    return Entry.read(params.extra_args)
