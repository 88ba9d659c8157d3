"""Structures as values, and where a run cannot have them."""

from __future__ import annotations

import pytest

import tts
from tts.errors import CapabilityMissing, ConfigError
from tts.solve import Setup
from tts.testing import LengthVerifier
from tts.trimming import BudgetForcing
from tts.types import Capability, Problem, Structure, Trajectory

DIGITS = Structure(regex="[0-9]+")


class Held:
    """A simulated backend that claims to have grammars, and remembers which it was asked about."""

    def __init__(self, world) -> None:
        self.inner = world.backend()
        offered = self.inner.capabilities | {Capability.STRUCTURED}
        self.inner.capabilities = frozenset(offered)
        self.asked: list[Structure] = []
        self.requests: list[tts.Request] = []

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def check_structure(self, structure):
        self.asked.append(structure)
        if structure.regex == "bad":
            raise ConfigError("structure.regex cannot be used: bad.")

    def open(self, request):
        self.requests.append(request)
        return self.inner.open(request)


@pytest.mark.parametrize(
    "said",
    [{}, {"regex": "1", "choice": ("2",)}, {"json_schema": {}, "grammar": "x"}, {"after": "="}],
)
def test_a_structure_is_exactly_one_thing(said):
    with pytest.raises(ValueError, match="exactly one"):
        Structure(**said)


@pytest.mark.parametrize("choice", [("a", "a"), ("a", "")])
def test_choices_differ_and_are_not_empty(choice):
    with pytest.raises(ValueError, match="differ"):
        Structure(choice=choice)


def test_what_is_said_is_of_json_types():
    assert Structure(choice=("a", "b"), after="=").as_dict() == {"choice": ["a", "b"], "after": "="}
    assert Structure(json_schema={}).as_dict() == {"json_schema": {}}
    assert Structure(regex="").as_dict() == {"regex": ""}


async def test_it_reaches_every_request_that_writes_an_answer(world):
    backend = Held(world)
    await tts.solve("?", strategy=tts.SelfConsistency(n=3), backend=backend, structure=DIGITS)
    assert [request.structure for request in backend.requests] == [DIGITS] * 3


async def test_a_problem_may_have_one_of_its_own(world):
    backend = Held(world)
    own = Structure(choice=("0", "1"))
    problems = [Problem("a", "?", structure=own), Problem("b", "?")]
    how = {"strategy": tts.Greedy(), "backend": backend, "structure": DIGITS, "concurrency": 1}
    async for _ in tts.solve_all(problems, **how):
        pass
    assert [request.structure for request in backend.requests] == [own, DIGITS]


async def test_a_problem_whose_structure_cannot_be_used_fails_alone(world):
    problems = [Problem("a", "?", structure=Structure(regex="bad")), Problem("b", "?")]
    results = [r async for r in tts.solve_all(problems, strategy=tts.Greedy(), backend=Held(world))]
    assert {r.problem_id: r.status for r in results} == {"a": "failed", "b": "done"}


def test_a_backend_is_asked_before_anything_is_spent(world):
    backend = Held(world)
    with pytest.raises(ConfigError, match="bad"):
        Setup(tts.Greedy(), backend, structure=Structure(regex="bad"))
    assert not backend.requests


WHOLE = [
    tts.Greedy(),
    tts.SelfConsistency(n=2),
    tts.BestOfN(n=2),
    tts.WeightedBestOfN(n=2),
    tts.AdaptiveSampling(),
    tts.FirstFinish(),
    tts.LastFinish(),
    tts.DeepConf(),
]
PIECES = [tts.BeamSearch(), tts.AStar(), tts.ParticleFilter(), tts.EarlyRejection(), tts.DVTS()]


@pytest.mark.parametrize("strategy", WHOLE, ids=lambda s: type(s).__name__)
def test_strategies_that_draw_whole_answers_take_structures(strategy, world):
    Setup(strategy, Held(world), verifier=LengthVerifier(), structure=DIGITS)


@pytest.mark.parametrize("strategy", PIECES, ids=lambda s: type(s).__name__)
def test_strategies_that_continue_answers_are_refused(strategy, world):
    with pytest.raises(ConfigError, match=f"{type(strategy).__name__} continues answers in pieces"):
        Setup(strategy, Held(world), verifier=LengthVerifier(), structure=DIGITS)


def test_what_else_continues_answers_is_refused(world):
    with pytest.raises(ConfigError, match="BudgetForcing"):
        Setup(tts.Greedy(), Held(world), watchers=(BudgetForcing(maximum=10),), structure=DIGITS)
    budget = tts.Budget(completion_tokens=100, landing_tokens=10)
    with pytest.raises(ConfigError, match="landing_tokens"):
        Setup(tts.Greedy(), Held(world), budget=budget, structure=DIGITS)


async def test_a_backend_without_grammars_says_so(world):
    with pytest.raises(CapabilityMissing, match="structure"):
        Setup(tts.Greedy(), world.backend(), structure=DIGITS)
    request = tts.Request(Problem("a", "?"), Trajectory.root(), structure=DIGITS)
    with pytest.raises(CapabilityMissing, match="structure"):
        async with world.backend().open(request):
            pass
