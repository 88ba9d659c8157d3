"""What a plan (a scheme and a format of the cache on a machine) makes of a workload.

Pure. The engine runs as many answers side by side as were asked for, or as fit. Each takes a step
for every token, and its prompt is read before; the two take turns, so what chunked prefill gains by
mixing them is not counted. Attention is priced at the mean length of an answer on its way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tts.advice.plans import Loaded
from tts.advice.workload import Workload
from tts.engine.hardware import GIB
from tts.engine.machine import IDEAL, Efficiency, Machine, Seconds, total
from tts.engine.roofline import Numerics, decode, operators, prefill
from tts.engine.shape import Shape

STEP_TOKENS = 2048
"""Most tokens in a step of the engine, its own default."""

_BESIDE_GIB = 1.5  # the engine's code, libraries and buffers, as the pre-flight checks count them
_GPU_PART = 0.9  # of a GPU's memory, what an engine takes
_LOGIT_BYTES = 4  # they are made in 32 bits, whatever the model is in


@dataclass(frozen=True, slots=True)
class Memory:
    """What an engine takes, in GiB, on all its devices together.

    Attributes:
        weights: Of the model, with embedding and output layer.
        cache: Keys and values of the answers in flight, at their full length.
        activations: Most of what a step holds at once.
        answer: Of the cache, what one more answer takes.
        room: What the machine has for all this.
    """

    weights: float
    cache: float
    activations: float
    answer: float
    room: float

    @property
    def need(self) -> float:
        """All of it."""
        return self.weights + self.cache + self.activations

    @property
    def fits(self) -> bool:
        """Whether there is room."""
        return self.need <= self.room

    @property
    def largest(self) -> int:
        """Most answers whose keys and values fit at once; 0 if not even one does."""
        left = self.room - self.weights - self.activations
        return max(0, int(left / self.answer))


@dataclass(frozen=True, slots=True)
class Prediction:
    """What comes of it.

    Attributes:
        in_flight: Answers side by side: those asked for, or as many as the engine takes and as
            fit; 0 if not one does.
        memory: With so many, or with one if none fits.
        step: A step that writes one token of each.
        cycle: From the first token of these answers to their last, prompts read before.
        tokens_per_second: Written, all answers together; 0 if none fits.
        seconds: To solve a problem, others running beside it; infinite if none fits.
        machine_seconds: Of the machine's time, a problem's share; infinite if none fits.
    """

    in_flight: float
    memory: Memory
    step: Seconds
    cycle: Seconds
    tokens_per_second: float
    seconds: float
    machine_seconds: float


def predict(
    model: Loaded,
    machine: Machine,
    workload: Workload,
    efficiency: Efficiency = IDEAL,
    block: int = 32,
    sequences: float = math.inf,
) -> Prediction:
    """Speed and memory of a plan under a workload.

    Args:
        model: Under a plan.
        machine: With a peak for its types of arithmetic.
        workload: What is asked.
        efficiency: What the engine makes of the machine.
        block: Tokens in a block of the cache: only full ones are shared.
        sequences: Most answers that the engine takes at once, memory aside.
    """
    shape, numerics = model.shape, model.numerics
    most = memory(model, machine, workload, workload.concurrency).largest
    in_flight = min(workload.concurrency, sequences, most)
    room = memory(model, machine, workload, max(1, in_flight))
    if in_flight < 1:
        nothing = Seconds()
        return Prediction(0, room, nothing, nothing, 0.0, math.inf, math.inf)
    overhead = Seconds(
        compute=machine.draw * in_flight * shape.vocabulary,
        overhead=efficiency.overhead(shape, in_flight),
    )
    middle = workload.prompt_tokens + (workload.completion_tokens + 1) / 2
    found = operators(shape, numerics, decode(in_flight, middle))
    step = total(found, machine, efficiency) + overhead
    cached = workload.cached_tokens(block)
    parts = math.ceil(in_flight * (workload.prompt_tokens - cached) / STEP_TOKENS)
    found = operators(shape, numerics, prefill(in_flight / parts, workload.prompt_tokens, cached))
    read = (total(found, machine, efficiency) + overhead) * parts
    # The step that reads a prompt gives the first token.
    cycle = step * (workload.completion_tokens - 1) + read
    cycle += Seconds(overhead=efficiency.request * in_flight)
    speed = in_flight * workload.completion_tokens / cycle.total
    waiting = workload.concurrency / in_flight
    return Prediction(
        in_flight,
        room,
        step,
        cycle,
        speed,
        waiting * cycle.total * workload.chain / workload.completion_tokens,
        workload.samples * workload.completion_tokens / speed,
    )


def activation_bytes(shape: Shape, numerics: Numerics, sequences: float) -> float:
    """Most bytes that a step holds beside weights and cache.

    The residual stream twice, and what goes into and comes out of the widest product; or else the
    logits of all sequences, twice, in 32 bits.

    Args:
        shape: Of the model.
        numerics: Of the scheme.
        sequences: Whose next token is drawn in one step.
    """
    part = shape.feed_forward
    inner = part.matrices * part.width * (part.chosen or 1)
    layer = STEP_TOKENS * (2 * shape.width + max(inner, 3 * shape.attention_width))
    logits = 2 * sequences * shape.vocabulary * _LOGIT_BYTES
    return max(layer * numerics.plain_bits / 8, logits)


def memory(model: Loaded, machine: Machine, workload: Workload, in_flight: float) -> Memory:
    """What so many answers take: each problem's prompt is kept once."""
    own = model.token * (workload.completion_tokens + workload.prompt_tokens / workload.samples)
    hardware = machine.hardware
    room = machine.memory_gib * (_GPU_PART if hardware.is_cuda else 1)
    return Memory(
        weights=model.weights / GIB,
        cache=in_flight * own / GIB,
        activations=activation_bytes(model.shape, model.numerics, in_flight) / GIB,
        answer=own / GIB,
        room=room - _BESIDE_GIB * max(1, hardware.cuda_devices),
    )
