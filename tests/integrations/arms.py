"""An arm, and outcomes of it."""

from __future__ import annotations

from tts.backends.arithmetic import simulated_arithmetic
from tts.backends.simulated import SimulatedBackend
from tts.errors import EndpointDown
from tts.evaluation import Arm, Names, Outcome
from tts.solve import Setup
from tts.strategies import SelfConsistency
from tts.types import Usage


def arm_of():
    names = Names(
        strategy_name="self_consistency", task="sums", model="simulated", backend="simulated"
    )
    return Arm("votes", Setup(SelfConsistency(n=2), simulated_arithmetic()), names, {"n": 2})


def dying():
    """A backend that cannot be brought back."""

    def simulate(problem, node, seed):
        raise EndpointDown("Nobody is there any more.")

    return SimulatedBackend(simulate)


def outcome_of(number, *, correct):
    usage = Usage(prompt_tokens=5, completion_tokens=10, calls=1)
    return Outcome(f"p{number}", 0, "done", correct, correct, True, usage, float(number))
