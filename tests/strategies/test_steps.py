"""What step-wise strategies share: steps, the barrier between them, and what is refused."""

import asyncio

import pytest

import tts
from tests.strategies.inside import inside
from tts.backends.simulated import SimulatedBackend, Step
from tts.errors import BackendError, ConfigError
from tts.strategies import BeamSearch, Stepper
from tts.strategies._steps import Harvest, side_by_side, take_step, without_copies
from tts.testing import LengthVerifier
from tts.types import Segment, Trajectory

ROOT = Trajectory.root()


def node(text, finish="step", tokens=3):
    return ROOT.extend(Segment(text, tokens=(7,) * tokens), child=0, clock=tokens, finish=finish)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"delimiter": ""}, "stepper.delimiter is empty and stepper.max_tokens is not set"),
        ({"max_tokens": 0}, "stepper.max_tokens is 0"),
        ({"max_steps": 0}, "stepper.max_steps is 0"),
    ],
)
def test_a_stepper_without_an_end_is_refused(wrong, said):
    with pytest.raises(ConfigError, match=said):
        Stepper(**wrong)


def test_an_answer_ends_where_the_model_or_the_last_step_ends_it():
    stepper = Stepper()
    assert stepper.finished(node("so 4", "stop"))
    assert stepper.finished(node("\\boxed{4}\n\n", "step"))
    assert not Stepper(last="").finished(node("\\boxed{4}\n\n", "step"))
    assert not stepper.finished(node("\\boxed{4", "length"))
    assert not stepper.finished(node("2 + 2\n\n"))
    assert not stepper.finished(ROOT)


async def test_room_is_what_the_answer_and_the_step_leave(world, problem):
    async def look(problem, env):
        used = env.backend.prompt_tokens(problem, first) - env.backend.prompt_tokens(problem, ROOT)
        assert Stepper().room(env, problem, first) == env.max_tokens - used
        assert Stepper(max_tokens=5).room(env, problem, first) == 5
        assert Stepper().room(env, problem, node("x", "stop")) == 0
        assert Stepper().room(env, problem, node("y" * 4 * env.max_tokens)) == 0

    first = node("a step\n\n")
    await inside(look, problem, world.backend(), max_tokens=40)


async def test_steps_side_by_side_start_at_the_barrier_and_differ(world, problem):
    async def look(problem, env):
        early, late = ROOT.after(5), ROOT.after(11)
        children = (await side_by_side(env, problem, Stepper(), [early, late], 3)).values()
        assert len({child.key for child in children}) == 6
        assert len({child.text for child in children}) > 1
        for child in children:
            assert child.clock == 11 + len(child.segment.logprobs)
            assert child.score is not None

    await inside(look, problem, world.backend(), verifier=LengthVerifier())


async def test_steps_that_the_budget_cannot_pay_are_left_out(world, problem):
    async def look(problem, env):
        drawn.extend((await side_by_side(env, problem, Stepper(), [ROOT], 8)).values())

    drawn = []
    budget = tts.Budget(calls=6)  # three steps with their judgements
    result = await inside(look, problem, world.backend(), verifier=LengthVerifier(), budget=budget)
    assert len(drawn) == 3
    assert result.limit == "calls"


async def test_a_fault_of_one_step_is_raised_and_the_others_are_aborted(problem):
    def simulate(problem, trajectory, seed):
        if next(numbers) == 3:
            raise BackendError("The cable is out.")
        return Step("a step\n\n", 2, False)

    numbers = iter(range(100))
    backend = SimulatedBackend(simulate)

    async def look(problem, env):
        await side_by_side(env, problem, Stepper(), [ROOT], 8)

    with pytest.raises(BackendError, match="The cable is out"):
        await inside(look, problem, backend, verifier=LengthVerifier())
    await asyncio.sleep(0)
    assert backend.open_streams == 0


async def test_a_step_is_paid_with_its_judgement_or_not_at_all(world, problem):
    async def look(problem, env):
        await take_step(env, Stepper(), ROOT, 0, 50)

    budget = tts.Budget(calls=1)
    result = await inside(look, problem, world.backend(), verifier=LengthVerifier(), budget=budget)
    assert result.status == "exhausted"
    assert result.usage.calls == result.usage.verifier_calls == 0


async def test_the_harvest_publishes_the_best(world, problem):
    async def look(problem, env):
        harvest = Harvest(env, tts.BestScore())
        for raw in (0.2, 0.9, 0.4):
            ended = node(f"\\boxed{{{raw}}}", "stop").scored(tts.Score(raw, "probability"))
            await harvest.add(ended)
        assert harvest.best.answer.text == "0.9"
        assert len(harvest.candidates) == 3

    result = await inside(look, problem, world.backend())
    assert result.answer == "0.9"


def test_copies_go_and_the_first_stays():
    first, other, copy = node("a"), node("b"), node("a")
    assert without_copies([first, other, copy]) == [first, other]


@pytest.mark.parametrize("limit", ["calls", "completion_tokens", "total_tokens"])
async def test_a_budget_below_the_first_step_is_refused_before_it_is_spent(world, problem, limit):
    backend = world.backend()
    budget = tts.Budget.model_validate({limit: 3})
    with pytest.raises(ConfigError, match=rf"budget\.{limit} is 3, and the first step of Beam"):
        await tts.solve(
            problem,
            strategy=BeamSearch(n=8),
            backend=backend,
            verifier=LengthVerifier(),
            budget=budget,
        )
    assert backend.generated == 0


async def test_a_backend_that_cannot_continue_and_a_verifier_of_whole_answers_are_refused(problem):
    backend = SimulatedBackend(lambda *_: Step("\\boxed{1}", 3), capabilities=frozenset())
    with pytest.raises(ConfigError, match="BeamSearch needs 'continuation'"):
        await tts.solve(problem, strategy=BeamSearch(), backend=backend, verifier=LengthVerifier())
    whole = SimulatedBackend(lambda *_: Step("\\boxed{1}", 3))
    with pytest.raises(ConfigError, match="needs scores of unfinished answers"):
        await tts.solve(
            problem, strategy=BeamSearch(), backend=whole, verifier=LengthVerifier(partial=False)
        )
