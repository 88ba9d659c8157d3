"""What a step of a model costs in operations and bytes, and how long a machine takes for it.

Pure. An operator takes operations / peak for its arithmetic and bytes / bandwidth for its memory;
a step takes the sum of its operators: the roofline of Williams, Waterman and Patterson (2009),
operator by operator as LLM-Viewer has it (Yuan et al. 2024), with key and value heads counted where
it counts query heads. What of both is really reached, and what a step costs besides, has to be
measured: see `Efficiency`.

Not counted: rotary embeddings and the look-up of tokens (a thousandth of a layer), biases, windows
of sliding attention (all is attended), and the exchange between devices that share a layer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from tts.engine.shape import FeedForward, Shape

Kind = Literal["linear", "attention", "elementwise", "head"]
"""Products with a layer's weights; attention; norms, sums and activations; the output layer."""

Bound = Literal["compute", "bandwidth", "overhead"]
"""What takes most of the time of an operator, or of a step."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the engine, as far as its cost goes.

    Attributes:
        tokens: Tokens that go through the layers.
        pairs: Positions that they attend to, their own included, summed over tokens.
        read: Positions whose keys and values are read, summed over sequences.
        sampled: Sequences whose next token is drawn: rows of the output layer.
    """

    tokens: float
    pairs: float
    read: float
    sampled: float


def decode(sequences: float, length: float) -> Step:
    """A step in which each sequence gets its next token.

    Args:
        sequences: At least 1.
        length: Positions in the cache, the new token's own included; a mean will do.
    """
    return Step(sequences, sequences * length, sequences * length, sequences)


def prefill(prompts: float, length: float, cached: float = 0) -> Step:
    """A step in which whole prompts are read.

    Args:
        prompts: At least 1.
        length: Tokens of each, at least 1.
        cached: First tokens of each that the prefix cache holds, fewer than `length`.
    """
    new = length - cached
    # The first new token attends to itself and to all before it, the last to the whole prompt.
    pairs = new * cached + new * (new + 1) / 2
    return Step(prompts * new, prompts * pairs, prompts * length, prompts)


@dataclass(frozen=True, slots=True)
class Numerics:
    """How numbers are kept and multiplied.

    Attributes:
        weight_bits: Of a weight in the layers' matrices, scales included.
        input_bits: Of what is multiplied with them.
        arithmetic: Type of these products: picks the machine's peak.
        plain: Type of all other arithmetic, and of the activations, the embedding and the output
            layer, which schemes leave as they are.
        plain_bits: Of a number of that type.
        cache_bits: Of a number in the cache, scales included.
        experts_only: Whether all this holds for the experts of a mixture alone, and the other
            matrices are plain.
    """

    weight_bits: float
    input_bits: float
    arithmetic: str
    plain: str
    plain_bits: float
    cache_bits: float
    experts_only: bool = False

    @property
    def beside_experts(self) -> Numerics:
        """Those of the layers' other matrices."""
        if not self.experts_only:
            return self
        bits = self.plain_bits
        return replace(self, weight_bits=bits, input_bits=bits, arithmetic=self.plain)


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator of a step.

    Attributes:
        name: What it does.
        kind: What it belongs to.
        calls: In a step: as a rule one a layer.
        ops: Operations of one call; a multiplication and its addition are two.
        bytes: Bytes that one call reads and writes.
        weights: Those of them that are weights.
        rows: Of what is multiplied with the weights; 0 if there are none.
        arithmetic: Type of its operations.
    """

    name: str
    kind: Kind
    calls: int
    ops: float
    bytes: float
    weights: float
    rows: float
    arithmetic: str

    @property
    def intensity(self) -> float:
        """Operations for each byte."""
        return self.ops / self.bytes


def operators(shape: Shape, numerics: Numerics, step: Step) -> list[Operator]:
    """The operators of a step.

    Attention is one operator, as engines fuse it: scores and weighted values, two operations each
    for a pair, a head and a place in the head, and five for the softmax of a pair and a head.

    Args:
        shape: Of the model; its `width` and `feed_forward` must be known.
        numerics: Of the scheme.
        step: What is done.
    """
    make = _Maker(numerics, step.tokens)
    layers, width, queries = shape.layers, shape.width, shape.attention_width
    values = 2 * shape.key_value_heads * shape.head_size
    return [
        make.pointwise("norm", 2 * layers + 1, 7 * width, 2 * width),
        make.matrix("query, key, value", layers, width, queries + values),
        _attention(shape, numerics, step),
        make.matrix("attention output", layers, queries, width),
        *_feed_forward(shape, make),
        make.pointwise("residual", 2 * layers, width, 3 * width),
        _head(shape, numerics, step),
    ]


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes the operators whose cost goes with the number of tokens."""

    numerics: Numerics
    tokens: float

    def matrix(self, name: str, calls: int, inputs: float, outputs: float) -> Operator:
        """A product with a layer's weights."""
        return self._product(self.numerics.beside_experts, name, calls, inputs, outputs)

    def experts(
        self, name: str, calls: int, inputs: float, outputs: float, part: FeedForward
    ) -> Operator:
        """A product with the experts that tokens choose; those that none chooses are not read."""
        if not part.experts:
            return self.matrix(name, calls, inputs, outputs)
        met = part.experts * (1 - (1 - part.chosen / part.experts) ** self.tokens)
        return self._product(self.numerics, name, calls, inputs, outputs, part.chosen, met)

    def _product(
        self,
        used: Numerics,
        name: str,
        calls: int,
        inputs: float,
        outputs: float,
        chosen: int = 1,
        met: float = 1.0,
    ) -> Operator:
        rows = self.tokens * chosen
        weights = met * inputs * outputs * used.weight_bits / 8
        moved = rows * (inputs * used.input_bits + outputs * used.plain_bits) / 8
        ops = 2 * rows * inputs * outputs
        return Operator(
            name, "linear", calls, ops, weights + moved, weights, rows / met, used.arithmetic
        )

    def pointwise(self, name: str, calls: int, ops: float, numbers: float) -> Operator:
        """So many operations on so many numbers for each token."""
        moved = self.tokens * numbers * self.numerics.plain_bits / 8
        return Operator(
            name, "elementwise", calls, self.tokens * ops, moved, 0, 0, self.numerics.plain
        )


def _attention(shape: Shape, numerics: Numerics, step: Step) -> Operator:
    asked = 2 * step.tokens * shape.attention_width * numerics.plain_bits / 8  # queries and results
    values = 2 * shape.key_value_heads * shape.head_size * numerics.cache_bits / 8
    return Operator(
        "attention",
        "attention",
        shape.layers,
        step.pairs * (4 * shape.attention_width + 5 * shape.query_heads),
        asked + (step.read + step.tokens) * values,  # the new ones are written as well
        0,
        0,
        numerics.plain,
    )


def _feed_forward(shape: Shape, make: _Maker) -> Iterable[Operator]:
    """Experts are taken to be equally popular."""
    part, layers, width = shape.feed_forward, shape.layers, shape.width
    before = part.matrices - 1
    if part.experts:
        yield make.matrix("router", layers, width, part.experts)
    if part.shared:
        yield make.matrix("shared expert, in", layers, width, before * part.shared)
        yield make.matrix("shared expert, out", layers, part.shared, width)
    yield make.experts("feed-forward, in", layers, width, before * part.width, part)
    inner = (part.chosen or 1) * part.width + part.shared
    yield make.pointwise("activation", layers, 2 * inner, part.matrices * inner)
    yield make.experts("feed-forward, out", layers, part.width, width, part)


def _head(shape: Shape, numerics: Numerics, step: Step) -> Operator:
    outputs, item = shape.head_params / shape.width, numerics.plain_bits / 8
    weights = shape.head_params * item
    moved = step.sampled * (shape.width + outputs) * item
    ops = 2 * step.sampled * shape.head_params
    return Operator(
        "output layer", "head", 1, ops, weights + moved, weights, step.sampled, numerics.plain
    )
