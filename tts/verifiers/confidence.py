"""How sure the model was at each token, as a verifier: no second model, no further token.

Sources: Kang et al. 2025 (self-certainty), Fu et al. 2025 (DeepConf's confidence, and windows of
it); what each signal is, and in what it is an approximation, stands in `tts.signals.tokens`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from tts.errors import ConfigError
from tts.protocols import VerifierContext
from tts.signals.answers import Signal, certainty
from tts.signals.windows import Measure
from tts.types import Capability, Problem, Score, Trajectory, Usage


@dataclass(frozen=True)
class Confidence:
    """What the likeliest tokens at each place tell of an answer, or of its beginning.

    The scores are nats and no probabilities: they rank answers, and weigh votes only by their ranks
    (`Borda`) or once they are calibrated. Injected and forced text is left out.

    Args:
        signal: What is read at a token: `self_certainty`, `confidence` (DeepConf's), or `entropy`,
            of which the score is the negative.
        over: What the tokens make of the answer: their `mean`; `tail`, that of the last `window`;
            `bottom`, that of the lowest tenth of all windows; `lowest`, the lowest window.
        window: Tokens of a window, at least 1. An answer that is shorter is one window.
        top: Likeliest tokens that are read at each place, at least 1; of a single one nothing but
            the `confidence` can be told.
    """

    signal: Signal = "self_certainty"
    over: Measure = "mean"
    window: int = 64
    top: int = 20
    requires: frozenset[Capability] = frozenset({Capability.LOGPROBS})
    partial: bool = True

    def __post_init__(self) -> None:
        for name, known in (("signal", Signal), ("over", Measure)):
            if (value := getattr(self, name)) not in get_args(known):
                raise ConfigError(
                    f"verifier.{name} is {value!r}.", hint=f"Take one of {get_args(known)}."
                )
        least = {"window": 1, "top": 1 if self.signal == "confidence" else 2}
        for name, low in least.items():
            if (value := getattr(self, name)) < low:
                raise ConfigError(
                    f"verifier.{name} is {value}; it must be at least {low}.",
                    hint=f"Set verifier.{name}=20.",
                )

    def identity(self) -> Mapping[str, Any]:
        """The signal, and what is made of it."""
        settings = {"over": self.over, "window": self.window, "top": self.top}
        return {"verifier": "confidence", "signal": self.signal, **settings}

    def bound(self, problem: Problem, tokens: int, ctx: VerifierContext) -> Usage:
        """A call, and nothing else."""
        return Usage(verifier_calls=1)

    async def score(
        self, problem: Problem, trajectories: Sequence[Trajectory], ctx: VerifierContext
    ) -> list[Score]:
        """One reward a trajectory, in nats, the larger the surer.

        Raises:
            VerifierError: A trajectory came without the likeliest tokens.
        """
        return [Score(self._one(trajectory), "reward") for trajectory in trajectories]

    def _one(self, trajectory: Trajectory) -> float:
        return certainty(trajectory, self.signal, self.over, self.window, self.top)
