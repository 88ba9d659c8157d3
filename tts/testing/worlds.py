"""A simulated world that contract tests solve problems in."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tts.backends.simulated import SimulatedBackend, Step, VirtualClock
from tts.protocols import (
    VerifierContext,
)
from tts.seeds import derive
from tts.types import (
    Capability,
    ModelInfo,
    Problem,
    Score,
    Trajectory,
    Usage,
)

PROBLEMS = tuple(Problem(f"contract-{i}", prompt=f"problem {i}") for i in range(6))
MODEL = ModelInfo(
    "simulated", active_params=1000, n_layers=2, attention_width=8, usd_per_completion_token=1e-3
)


@dataclass
class World:
    """A simulated world for strategies: answers in steps, a verifier, and everything counted.

    Attributes:
        jitter: Seed of the latencies; the answers do not depend on it.
    """

    jitter: int = 0
    clock: VirtualClock = field(default_factory=VirtualClock)

    def backend(self) -> SimulatedBackend:
        """A backend of this world."""
        return SimulatedBackend(self._simulate, MODEL, self.clock)

    def _simulate(self, problem: Problem, node: Trajectory, seed: int) -> Step:
        rng = random.Random(derive(seed, problem.id, len(node.text)))
        latency = random.Random(derive(self.jitter, problem.id, node.key, seed)).random()
        tokens = rng.randint(5, 15)
        if node.text.count("\n\n") >= 2:
            answer = rng.choices(range(4), (5, 3, 2, 1))[0]
            return Step(f"\\boxed{{{answer}}}", tokens, True, latency, -rng.random())
        return Step(f"step {rng.randint(0, 99)}\n\n", tokens, False, latency, -rng.random())


@dataclass(frozen=True)
class LengthVerifier:
    """A verifier that knows nothing of the world: a fixed pseudo-random score a text."""

    requires: frozenset[Capability] = frozenset()
    partial: bool = True

    def identity(self) -> Mapping[str, Any]:
        """Its name."""
        return {"verifier": "length"}

    def bound(self, problem: Problem, tokens: int, ctx: VerifierContext) -> Usage:
        """A call, and nothing else."""
        return Usage(verifier_calls=1)

    async def score(
        self, problem: Problem, trajectories: Sequence[Trajectory], ctx: VerifierContext
    ) -> list[Score]:
        """A probability that depends on the text alone."""
        return [
            Score(random.Random(derive(0, problem.id, t.text)).random(), "probability")
            for t in trajectories
        ]
