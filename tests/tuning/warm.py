"""A simulated model that is right more or less often, as its temperature is."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from tts.backends.arithmetic import work_out
from tts.backends.simulated import SimulatedBackend, Step
from tts.protocols import Stream
from tts.seeds import derive
from tts.types import ModelInfo, Problem, Request, Trajectory


class Warm:
    """Right with a chance of `most` at the temperature `best`, less by `slope` for each unit off.

    All temperatures share their luck: a draw that is right at a worse temperature is right at a
    better one. At temperature 0 all draws of a problem are one.

    Args:
        best: The best temperature.
        most: Chance there.
        slope: What a unit of temperature costs.
        tokens: Length of an answer.
        name: Of the model.
    """

    def __init__(
        self,
        best: float = 0.6,
        most: float = 0.9,
        slope: float = 0.5,
        tokens: int = 20,
        name: str = "warm",
        **_: object,
    ) -> None:
        self.best, self.most, self.slope, self.tokens = best, most, slope, tokens
        self.info = ModelInfo(name, active_params=1_000_000, context=4096)
        self.started = self.closed = 0
        self._at: dict[float, SimulatedBackend] = {}
        self.capabilities = self._of(0.0).capabilities

    @property
    def model(self) -> ModelInfo:
        """The model, for the accounts."""
        return self.info

    def identity(self) -> Mapping[str, Any]:
        """What its answers depend on."""
        return {"weights": f"{self.info.name:0<8} {self.best} {self.most} {self.slope}"}

    def prompt_tokens(self, problem: Problem, trajectory: Trajectory) -> int:
        """As a simulated model has it."""
        return self._of(0.0).prompt_tokens(problem, trajectory)

    def open(self, request: Request) -> Stream:
        """Decode at the request's temperature."""
        return self._of(request.sampling.temperature).open(request)

    async def start(self) -> None:
        """Count the starts."""
        self.started += 1

    async def aclose(self) -> None:
        """Count the ends."""
        self.closed += 1

    def _of(self, temperature: float) -> SimulatedBackend:
        if temperature not in self._at:
            chance = max(0.0, self.most - self.slope * abs(temperature - self.best))

            def simulate(problem: Problem, node: Trajectory, seed: int) -> Step:
                rng = random.Random(derive(seed if temperature else 0, problem.id))
                text = problem.prompt or problem.messages[-1].content
                found = work_out(text) + (0 if rng.random() < chance else rng.randint(1, 3))
                return Step(f"\\boxed{{{found}}}", self.tokens)

            self._at[temperature] = SimulatedBackend(simulate, self.info)
        return self._at[temperature]
