"""Every number of the recipe: the shapes of the models and how each is trained.

A further member of the family is one more entry of `SIZES`.
"""

from dataclasses import dataclass, field

from tts.errors import ConfigError


@dataclass(frozen=True)
class Shape:
    """The shape of a Llama model.

    Attributes:
        layers: number of decoder layers.
        width: hidden size.
        heads: attention heads; ``width / heads`` is the head size, of which vLLM's attention
            on a CPU supports 32 and larger powers of two.
        feed_forward: inner size of the SwiGLU layers.
    """

    layers: int
    width: int
    heads: int
    feed_forward: int


@dataclass(frozen=True)
class Training:
    """How a model is trained.

    Attributes:
        steps: optimiser steps.
        batch_tokens: most tokens in a batch, padding included.
        pool: problems that are drawn, sorted by length and cut into batches at a time.
        muon_rate: highest learning rate of the matrices inside the layers (Muon).
        adam_rate: highest learning rate of the embeddings and norms (AdamW).
        weight_decay: weight decay of the matrices.
        warmup: steps over which the rates rise.
        decay: steps at the end over which the rates fall to zero. Up to there the course does not
            depend on `steps`, so a checkpoint can be taken up with another `steps`.
        clip: largest norm of the gradient.
        seed: of the weights and of the batches' order.
        threads: threads of PyTorch.
        checkpoint_every: steps between two checkpoints.
        report_every: steps between two progress lines.
        sample_every: steps between two measurements of the accuracy on validation problems.
        sample_problems: validation problems of each level in such a measurement.
    """

    steps: int = 1550
    batch_tokens: int = 6144
    pool: int = 1024
    muon_rate: float = 0.01
    adam_rate: float = 3e-3
    weight_decay: float = 0.01
    warmup: int = 50
    decay: int = 300
    clip: float = 1.0
    seed: int = 0
    threads: int = 2
    checkpoint_every: int = 250
    report_every: int = 50
    sample_every: int = 250
    sample_problems: int = 16


@dataclass(frozen=True)
class Thinking:
    """What the thinking part of a thinker's training traces is made of, see `traces`.

    Attributes:
        dose: mean number of doubts after the answer is there, at least 0; of re-checks of what was
            right and of changes of mind on the way there are more in proportion.
        rechecks: chance of such a re-check after a step, at a dose of 1.
        changes: chance of a change of mind after a step, at a dose of 1.
        other_ways: share of the doubts that go another way instead of re-checking.
        slips: chance of a slip in an operation.
        later: share of the slips that are noticed one piece later instead of at once.
        cuts: share of the traces that are cut, with the answer after them.
        longest: most tokens of a thinking part.
    """

    dose: float
    rechecks: float = 0.1
    changes: float = 0.03
    other_ways: float = 0.5
    slips: float = 0.12
    later: float = 0.3
    cuts: float = 0.1
    longest: int = 620

    def __post_init__(self) -> None:
        if not 0 <= self.dose <= 5:
            raise ConfigError(
                f"dose is {self.dose}; it must be from 0 to 5.",
                hint="It is the mean number of doubts after the answer is there.",
            )


@dataclass(frozen=True)
class Size:
    """A member of the family: its shape, its training and, of a thinker, its thinking."""

    shape: Shape
    training: Training = field(default_factory=Training)
    thinking: Thinking | None = None


SIZES: dict[str, Size] = {
    "smallest": Size(
        Shape(layers=1, width=32, heads=1, feed_forward=64),
        Training(
            steps=12,
            batch_tokens=1024,
            pool=64,
            warmup=2,
            decay=4,
            checkpoint_every=6,
            report_every=4,
            sample_every=12,
            sample_problems=1,
            threads=1,
        ),
    ),
    "mini": Size(Shape(layers=3, width=128, heads=4, feed_forward=352)),
    "large": Size(
        Shape(layers=4, width=224, heads=7, feed_forward=608), Training(steps=1200, seed=1)
    ),
    "thinker": Size(
        Shape(layers=3, width=128, heads=4, feed_forward=352),
        Training(steps=500, decay=200, seed=2, checkpoint_every=50, sample_every=250),
        Thinking(dose=1.2),
    ),
}
"""The sizes by name; `smallest` learns nothing, it is there for the tests."""


@dataclass(frozen=True)
class RollOuts:
    """What a process reward model learns from, drawn from the reasoner.

    Attributes:
        problems: problems of the train split, the levels taking turns.
        first: index of the first problem of each level; the reasoner's training takes the indices
            from 0 up and never comes near.
        samples: answers to each problem.
        branches: prefixes of each answer that are gone on from, half of them (rounded down) at
            ends of steps; an answer that ends before such a place has one less.
        rollouts: further answers from each of these prefixes.
        temperature: of all draws.
        max_tokens: longest answer; one that is cut here is wrong.
        seed: of all draws.
    """

    problems: int = 1200
    first: int = 10_000_000
    samples: int = 4
    branches: int = 4
    rollouts: int = 4
    temperature: float = 0.8
    max_tokens: int = 224
    seed: int = 0


@dataclass(frozen=True)
class Comparing:
    """How the layer that compares what came with what was expected is fitted, see `judge`.

    Attributes:
        tokens: most tokens of answers to fit it to.
        steps: optimiser steps; over the second half of them the rates fall to zero.
        batch_tokens: tokens in a batch.
        muon_rate: highest learning rate of its input matrices (Muon).
        adam_rate: highest learning rate of its output (AdamW).
    """

    tokens: int = 1_000_000
    steps: int = 1200
    batch_tokens: int = 4096
    muon_rate: float = 0.02
    adam_rate: float = 3e-3


@dataclass(frozen=True)
class Judging:
    """How a process reward model is made from a reasoner, see `judge`.

    Attributes:
        training: as of a reasoner; `sample_every` steps the held-out problems are looked at, of
            each level at most `sample_problems`.
        comparing: of the layer before those that are trained.
        layers: layers that are trained on roll-outs, above the reasoner's and the comparing one.
        feed_forward: inner size of all layers, at least the reasoner's and 64.
        parts: batches, of random lengths, that together make a step of `batch_tokens`.
        held_out: one problem in so many is held out.
    """

    training: Training = field(
        default_factory=lambda: Training(
            steps=1000,
            batch_tokens=3072,
            pool=4096,
            decay=400,
            sample_every=200,
            sample_problems=50,
        )
    )
    comparing: Comparing = field(default_factory=Comparing)
    layers: int = 2
    feed_forward: int = 512
    parts: int = 2
    held_out: int = 20


JUDGES: dict[str, Judging] = {
    "smallest": Judging(
        Training(
            steps=100,
            batch_tokens=1024,
            pool=64,
            warmup=2,
            decay=40,
            checkpoint_every=50,
            report_every=25,
            sample_every=50,
            sample_problems=1,
            threads=1,
        ),
        Comparing(tokens=2000, steps=50, batch_tokens=512),
        layers=1,
        feed_forward=96,
        held_out=4,
    ),
    "mini": Judging(),
}
"""The trainings of judges by name; `smallest` learns a few answers by heart, for the tests."""
