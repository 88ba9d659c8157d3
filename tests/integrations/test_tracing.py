"""Spans of requests, problems and arms, as an exporter sees them."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import replace

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from tests.integrations.asking import Asks
from tests.servers.fixtures import until
from tts.backends.arithmetic import simulated_arithmetic
from tts.backends.replay import ReplayBackend
from tts.backends.simulated import SimulatedBackend
from tts.budget import Budget
from tts.budget.beta import BetaStopping
from tts.errors import BackendError
from tts.evaluation import Arm, Names, Store, evaluate
from tts.integrations.traced import Traced
from tts.integrations.tracing import Tracing
from tts.protocols import Chooses, KnowsWords, Reads, Stepwise
from tts.solve import Setup, solve, solve_all
from tts.strategies import BestOfN, FirstFinish, Greedy, SelfConsistency
from tts.tasks import Item, ItemTask
from tts.testing import check_backend
from tts.types import Problem, Request, Segment, Trajectory

PROBLEM = Problem.chat("sum", "2+3=")
NAMES = Names(strategy_name="self_consistency", task="sums", model="simulated", backend="simulated")


class Recorder:
    """A tracer and what came of its spans."""

    def __init__(self):
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = provider.get_tracer("test")

    @property
    def spans(self):
        return self.exporter.get_finished_spans()

    def named(self, start):
        return [span for span in self.spans if span.name.startswith(start)]

    @property
    def requests(self):
        return self.named("chat")


@pytest.fixture
def recorder():
    return Recorder()


def is_child(span, parent):
    return span.parent is not None and span.parent.span_id == parent.context.span_id


def setup(strategy, **how):
    return Setup(strategy, how.pop("backend", None) or simulated_arithmetic(0.9, 0.0), **how)


# --- requests -----------------------------------------------------------------------------------


async def test_requests_are_children_of_the_span_in_which_an_application_asks(recorder):
    backend = Traced(simulated_arithmetic(), tracer=recorder.tracer)
    with recorder.tracer.start_as_current_span("pipeline"):
        result = await solve(PROBLEM, strategy=SelfConsistency(n=5), backend=backend)
    (mine,) = recorder.named("pipeline")
    assert len(recorder.requests) == result.usage.calls == 5
    assert all(is_child(span, mine) for span in recorder.requests)


async def test_the_provider_of_the_application_is_used_by_default(recorder, monkeypatch):
    monkeypatch.setattr("opentelemetry.trace.get_tracer", lambda name: recorder.tracer)
    await solve(PROBLEM, strategy=Greedy(), backend=Traced(simulated_arithmetic()))
    assert len(recorder.requests) == 1


async def test_a_span_says_what_was_asked_and_what_it_took(recorder):
    backend = Traced(simulated_arithmetic(), tracer=recorder.tracer)
    result = await solve(PROBLEM, strategy=Greedy(), backend=backend, max_tokens=300)
    said = recorder.requests[0].attributes
    assert said["gen_ai.request.model"] == "simulated"
    assert said["gen_ai.provider.name"] == "simulated"
    assert said["gen_ai.request.temperature"] == 0.0
    assert said["gen_ai.request.max_tokens"] == 300
    assert said["gen_ai.usage.input_tokens"] == result.usage.prompt_tokens
    assert said["gen_ai.usage.output_tokens"] == result.usage.completion_tokens
    assert said["gen_ai.response.finish_reasons"] == ("stop",)
    assert "2+3" not in json.dumps(dict(said)) and "boxed" not in json.dumps(dict(said))


async def test_words_are_kept_only_if_asked_for(recorder):
    backend = Traced(simulated_arithmetic(), tracer=recorder.tracer, content=True)
    result = await solve(PROBLEM, strategy=Greedy(), backend=backend)
    said = recorder.requests[0].attributes
    (question,) = json.loads(said["gen_ai.input.messages"])
    (answer,) = json.loads(said["gen_ai.output.messages"])
    assert question == {"role": "user", "parts": [{"type": "text", "content": "2+3="}]}
    assert answer["parts"][0]["content"] == result.best.trajectory.text


async def test_a_stream_that_is_left_ends_its_span_as_aborted(recorder):
    backend = Traced(simulated_arithmetic(), tracer=recorder.tracer)
    request = Request(PROBLEM, Trajectory.root(), watch=True)
    async with backend.open(request) as stream:
        async for _ in stream:
            break
    (span,) = recorder.requests
    assert span.attributes["gen_ai.response.finish_reasons"] == ("abort",)
    assert span.attributes["gen_ai.usage.output_tokens"] == stream.usage.completion_tokens > 0
    assert span.status.status_code is StatusCode.UNSET


async def test_streams_of_a_cancelled_search_end_their_spans(recorder):
    slow = simulated_arithmetic(seconds_per_token=1.0)
    tracing = Tracing(recorder.tracer)
    search = asyncio.create_task(
        solve(PROBLEM, **tracing.options(setup(SelfConsistency(n=3), backend=slow)))
    )
    await until(lambda: slow.open_streams == 3)
    search.cancel()
    await asyncio.gather(search, return_exceptions=True)
    assert [s.attributes["gen_ai.response.finish_reasons"] for s in recorder.requests] == [
        ("abort",)
    ] * 3
    tracing.close()
    (problem,) = recorder.named("solve")
    assert problem.attributes["tts.cancelled"]


async def test_a_fault_is_recorded_on_request_and_problem(recorder):
    def simulate(problem, node, seed):
        raise BackendError("The lights went out.")

    backend = simulated_arithmetic()
    backend.simulate = simulate
    tracing = Tracing(recorder.tracer)
    with pytest.raises(BackendError):
        await solve(PROBLEM, **tracing.options(setup(Greedy(), backend=backend)))
    assert len(recorder.spans) == 2
    for span in recorder.spans:
        assert span.status.status_code is StatusCode.ERROR
        assert span.attributes["error.type"] == "BackendError"
        assert span.events[-1].name == "exception"


async def test_a_refusal_at_the_door_ends_its_span(recorder):
    backend = Traced(simulated_arithmetic(context=20), tracer=recorder.tracer)
    with pytest.raises(Exception, match="exceed the context"):
        async with backend.open(Request(PROBLEM, Trajectory.root(), max_tokens=500)):
            pass
    assert recorder.requests[0].status.status_code is StatusCode.ERROR


async def test_a_wrapped_backend_keeps_its_contract(recorder):
    backend = Traced(simulated_arithmetic(), tracer=recorder.tracer)
    await check_backend(backend, PROBLEM)


def test_a_wrapped_backend_can_do_what_the_other_can(tmp_path, recorder):
    plain = simulated_arithmetic()
    traced = Traced(plain, tracer=recorder.tracer)
    assert isinstance(traced, KnowsWords)
    assert traced.identity() == plain.identity() and traced.capabilities == plain.capabilities
    cached = ReplayBackend(plain, tmp_path)
    assert Traced(cached, tracer=recorder.tracer).provenance() == cached.provenance()
    cached.archive.close()


async def test_reading_is_a_request_too(recorder):
    class Reader(SimulatedBackend):
        def spells(self, text):
            return True

        async def read(self, problem, trajectory, given, *, top=0):
            return given, self.model.usage(12, 0, 0)

    backend = Traced(Reader(lambda *_: None), tracer=recorder.tracer)
    assert isinstance(backend, Reads) and not isinstance(Traced(simulated_arithmetic()), Reads)
    await backend.read(PROBLEM, Trajectory.root(), Segment("5"))
    (span,) = recorder.named("read")
    assert span.attributes["gen_ai.usage.input_tokens"] == 12


# --- problems -----------------------------------------------------------------------------------


async def test_a_problem_is_a_span_around_its_requests(recorder):
    tracing = Tracing(recorder.tracer)
    with recorder.tracer.start_as_current_span("pipeline"):
        result = await solve(PROBLEM, **tracing.options(setup(SelfConsistency(n=4))))
    (problem,), (mine,) = recorder.named("solve"), recorder.named("pipeline")
    assert is_child(problem, mine) and problem.name == "solve SelfConsistency"
    assert len(recorder.requests) == 4
    assert all(is_child(span, problem) for span in recorder.requests)
    said = problem.attributes
    assert said["tts.status"] == "done" and said["tts.answered"]
    assert said["tts.usage.completion_tokens"] == result.usage.completion_tokens
    assert said["tts.candidates"] == 4


async def test_requests_of_a_verifier_belong_to_the_problem_and_say_so(recorder):
    tracing = Tracing(recorder.tracer)
    result = await solve(PROBLEM, **tracing.options(setup(BestOfN(n=3), verifier=Asks())))
    asked = Counter(span.attributes["tts.verifying"] for span in recorder.requests)
    assert asked == {False: result.usage.calls, True: result.usage.verifier_calls}
    (problem,) = recorder.named("solve")
    assert all(is_child(span, problem) for span in recorder.requests)
    judged = [e for e in problem.events if e.name == "judged"]
    assert sum(e.attributes["tts.trajectories"] for e in judged) == 3


async def test_steps_of_a_strategy_are_events(recorder):
    tracing = Tracing(recorder.tracer)
    chosen = setup(SelfConsistency(n=8), controller=BetaStopping())
    result = await solve(PROBLEM, **tracing.options(chosen))
    (problem,) = recorder.named("solve")
    names = Counter(event.name for event in problem.events)
    assert names["granted"] + names["stopped"] == len(result.decisions) > 0
    assert names["published"] > 0


async def test_problems_and_repeats_side_by_side_are_told_apart(recorder):
    tracing = Tracing(recorder.tracer)
    problems = [replace(Problem.chat(f"p{i}", f"{i}+1="), repeat=r) for i in (1, 2) for r in (0, 1)]
    chosen = setup(SelfConsistency(n=3))
    async for _ in solve_all(problems, **tracing.options(chosen)):
        pass
    assert len(recorder.named("solve")) == 4
    for problem in recorder.named("solve"):
        mine = [span for span in recorder.requests if is_child(span, problem)]
        assert len(mine) == 3
        for name in ("tts.problem.id", "tts.problem.repeat"):
            assert {span.attributes[name] for span in mine} == {problem.attributes[name]}
        assert [e.name for e in problem.events].count("published") >= 1


async def test_a_landing_belongs_to_its_problem(recorder):
    tracing = Tracing(recorder.tracer)
    budget = Budget(completion_tokens=40, landing_tokens=15)
    await solve(PROBLEM, **tracing.options(setup(Greedy(), budget=budget)))
    (problem,) = recorder.named("solve")
    assert problem.attributes["tts.limit"] == "completion_tokens"
    assert len(recorder.requests) == 2
    assert all(is_child(span, problem) for span in recorder.requests)


async def test_races_leave_their_losers_aborted(recorder, world, problem):
    tracing = Tracing(recorder.tracer)
    chosen = setup(FirstFinish(n=3, k=1), backend=world.backend())
    result = await solve(problem, **tracing.options(chosen))
    requests = recorder.named("text_completion")
    ends = Counter(span.attributes["gen_ai.response.finish_reasons"][0] for span in requests)
    assert ends["abort"] > 0 and sum(ends.values()) == result.usage.calls


async def test_what_is_traced_is_the_same_search(recorder):
    chosen = setup(BestOfN(n=4), verifier=Asks())
    plain = await solve(PROBLEM, strategy=chosen.strategy, backend=chosen.backend, verifier=Asks())
    traced = await solve(PROBLEM, **Tracing(recorder.tracer).options(chosen))
    assert traced.best.trajectory.text == plain.best.trajectory.text
    assert replace(traced.usage, seconds=0) == replace(plain.usage, seconds=0)


def test_a_traced_strategy_offers_what_the_other_does(recorder):
    chosen = Tracing(recorder.tracer).setup(setup(SelfConsistency(n=4)))
    assert isinstance(chosen.strategy, Chooses) and not isinstance(chosen.strategy, Stepwise)
    assert chosen.strategy.n == 4


# --- arms ---------------------------------------------------------------------------------------


async def test_an_arm_is_a_span_around_its_problems(tmp_path, recorder):
    task = ItemTask("sums", [Item(Problem.chat(f"p{i}", f"{i}+1="), str(i + 1)) for i in range(6)])
    arm = Arm("votes", setup(SelfConsistency(n=2)), NAMES)
    tracing = Tracing(recorder.tracer)
    with Store(tmp_path, {arm.label: arm.expected(task)}) as store, tracing.arm(arm) as traced:
        row = await evaluate(task, traced, store=store, watcher=tracing)
    (run,) = recorder.named("evaluate votes")
    assert len(recorder.named("solve")) == 6
    assert all(is_child(span, run) for span in recorder.named("solve"))
    assert len(recorder.requests) == 12
    assert run.attributes["tts.accuracy"] == row.accuracy
    assert run.attributes["tts.problems"] == 6
