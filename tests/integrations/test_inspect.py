"""Inspect's benchmarks with our strategies as the model, end to end."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from importlib.metadata import entry_points
from pathlib import Path

import inspect_ai
import pytest
from inspect_ai import Task
from inspect_ai._cli.main import main
from inspect_ai.dataset import Sample
from inspect_ai.log import read_eval_log
from inspect_ai.model import (
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageUser,
    ContentImage,
    ContentText,
    GenerateConfig,
    get_model,
)
from inspect_ai.scorer import match, pattern
from inspect_ai.solver import generate, system_message
from inspect_ai.tool import ToolInfo

from tests.integrations.asking import Asks
from tts.backends.arithmetic import simulated_arithmetic
from tts.errors import BackendError, ConfigError
from tts.integrations.inspect import model as model_of
from tts.solve import Setup
from tts.strategies import BestOfN, Greedy, SelfConsistency
from tts.types import Usage

pytestmark = pytest.mark.filterwarnings(
    "ignore:The .initial. parameter is deprecated:DeprecationWarning"  # of tenacity, in inspect_ai
)
BOXED = pattern(r"\\boxed\{(-?\d+)\}")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """Logs and caches go to a folder of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INSPECT_LOG_DIR", str(tmp_path / "logs"))
    monkeypatch.setenv("INSPECT_DISPLAY", "none")


def sums(scorer=BOXED, count=5, **how):
    """A benchmark of their own style."""
    samples = [
        Sample(id=f"s{i}", input=f"{i}+{i}=", target=str(2 * i)) for i in range(1, count + 1)
    ]
    return Task(dataset=samples, solver=generate(), scorer=scorer, name="sums", **how)


def evaluated(task, model, **how):
    """The log of an evaluation that went well."""
    (log,) = inspect_ai.eval(task, model=model, display="none", **how)
    assert log.status == "success", log.error
    return log


def accuracy(log):
    return log.results.scores[0].metrics["accuracy"].value


def searching(strategy=None, accuracy=0.9, **how):
    """A model that is not configured but made."""
    strategy = strategy or SelfConsistency(n=3)
    made = Made(lambda: Setup(strategy, simulated_arithmetic(accuracy, 0.0), **how))
    return model_of(made, "made"), made


class Made:
    """Makes setups, and keeps them."""

    def __init__(self, make):
        self._make, self.setups = make, []

    def __call__(self):
        self.setups.append(self._make())
        return self.setups[-1]


def about(sample):
    return sample.output.metadata["tts"]


# --- benchmarks ---------------------------------------------------------------------------------


def test_a_benchmark_runs_with_a_strategy_of_the_configuration(tmp_path):
    args = {"backend": "simulated", "backend.accuracy": 1, "backend.spread": 0}
    args |= {"strategy": "self_consistency", "strategy.n": 4}
    log = evaluated(sums(), "tts/mini-reasoner", model_args=args)
    assert accuracy(log) == 1.0
    assert log.eval.model == "tts/mini-reasoner"
    for sample in log.samples:
        usage = Usage(**about(sample)["usage"])
        assert usage.calls == 4 and len(about(sample)["candidates"]) == 4
        assert sample.output.usage.input_tokens == usage.prompt_tokens == 40
        assert sample.output.usage.output_tokens == usage.completion_tokens
        assert sample.output.stop_reason == "stop"
    assert list((tmp_path / "logs").glob("*.eval"))


def test_a_benchmark_runs_against_a_server_on_loopback(serve, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    server = serve()
    args = {"backend": "openai", "backend.base_url": server.url, "model.prices.completion": 1.0}
    args |= {"strategy": "best_of_n", "strategy.n": 2, "verifier": "has_answer"}
    log = evaluated(sums(match()), "tts/toy", model_args=args)
    assert len(server.calls) == 10
    used = [sample.output.usage for sample in log.samples]
    assert sum(u.output_tokens for u in used) == server.sent
    assert sum(u.input_tokens for u in used) == sum(c.prompt_tokens for c in server.calls)
    assert sum(u.total_cost for u in used) == pytest.approx(server.sent / 1e6)


def test_verifier_tokens_are_told_apart():
    model, _ = searching(BestOfN(n=2), verifier=Asks())
    sample = evaluated(sums(count=1), model).samples[0]
    usage = about(sample)["usage"]
    assert usage["verifier_calls"] == 2 and usage["verifier_tokens"] == 2 * (10 + 5)
    assert sample.output.usage.output_tokens == usage["completion_tokens"]
    assert sample.output.usage.total_cost is None


def test_the_command_finds_the_provider(monkeypatch):
    (found,) = entry_points(group="inspect_ai", name="tts")
    assert found.value == "tts.cli.inspect_provider"
    Path("bench.py").write_text(
        "from inspect_ai import Task, task\n"
        "from inspect_ai.dataset import Sample\n"
        "from inspect_ai.scorer import includes\n"
        "@task\n"
        "def sums():\n"
        "    return Task(dataset=[Sample(input='2+3=', target='5')], scorer=includes())\n"
    )
    words = ["-M", "backend=simulated", "-M", "backend.accuracy=1.0", "-M", "backend.spread=0.0"]
    words += ["--model", "tts/mini-reasoner", "-M", "strategy=greedy"]
    monkeypatch.setattr(sys, "argv", ["inspect", "eval", "bench.py", *words])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    (log,) = Path("logs").glob("*.eval")
    assert accuracy(read_eval_log(str(log))) == 1.0


# --- draws --------------------------------------------------------------------------------------


def test_epochs_draw_anew_and_a_second_evaluation_draws_the_same():
    def texts():
        model, _ = searching(Greedy(), accuracy=0.5)
        log = evaluated(sums(), model, epochs=3)
        return {(s.id, s.epoch): s.output.completion for s in log.samples}

    first = texts()
    assert first == texts()
    assert len({first["s1", epoch] for epoch in (1, 2, 3)}) == 3


def test_the_same_question_again_in_a_sample_draws_anew():
    async def ask():
        model, _ = searching(Greedy())
        first = await model.generate("1+1=")
        second = await model.generate("1+1=")
        return first.completion, second.completion

    first, second = asyncio.run(ask())
    assert first != second


def test_a_seed_of_inspect_decides_the_draws():
    def text(seed):
        model, _ = searching(Greedy())
        return asyncio.run(model.generate("1+1=", config=GenerateConfig(seed=seed))).completion

    assert text(1) == text(1) != text(2)


# --- one engine, and its end --------------------------------------------------------------------


def test_one_backend_serves_all_samples_and_is_closed_at_the_end(monkeypatch):
    closed = Counter()
    model, made = searching()

    async def aclose(self):
        closed[id(self)] += 1

    monkeypatch.setattr(type(made.setups[0].backend), "aclose", aclose)
    evaluated(sums(), model)
    assert len(made.setups) == 1
    assert closed == {id(made.setups[0].backend): 1}
    evaluated(sums(count=1), model)
    assert len(made.setups) == 2


def test_a_fault_is_an_error_and_never_an_answer():
    def simulate(problem, node, seed):
        raise BackendError("The lights went out.")

    backend = simulated_arithmetic()
    backend.simulate = simulate
    model = model_of(lambda: Setup(Greedy(), backend))
    (log,) = inspect_ai.eval(sums(count=1), model=model, display="none")
    assert log.status == "error" and "lights went out" in log.error.message


def test_a_spent_budget_without_an_answer_is_an_empty_text_with_a_reason():
    args = {"backend": "simulated", "budget.total_tokens": 5, "strategy": "greedy"}
    log = evaluated(sums(count=1), "tts/mini-reasoner", model_args=args)
    output = log.samples[0].output
    assert output.completion == "" and output.stop_reason == "max_tokens"
    assert about(log.samples[0])["limit"] == "total_tokens"


# --- what a request may say ---------------------------------------------------------------------


def test_settings_of_inspect_reach_the_decode(serve, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    server = serve()
    args = {"backend": "openai", "backend.base_url": server.url, "strategy": "self_consistency"}
    task = Task(dataset=[Sample(input="why?", target="?")], scorer=match())
    task.solver = [system_message("Be brief."), generate()]
    said = {"temperature": 0.3, "top_p": 0.9, "max_tokens": 7, "max_connections": 2}
    evaluated(task, "tts/toy", model_args=args, **said)
    body = server.calls[0].body
    assert (body["temperature"], body["top_p"], body["max_tokens"]) == (0.3, 0.9, 7)
    assert [m["role"] for m in body["messages"]] == ["system", "user"]


REFUSED = [
    ({"stop_seqs": ["x"]}, "stop_seqs"),
    ({"num_choices": 2}, "num_choices"),
    ({"logprobs": True}, "logprobs"),
    ({"frequency_penalty": 0.5}, "frequency_penalty"),
    ({"temperature": 5.0}, "temperature is 5"),
    ({"max_tokens": 0}, "max_tokens is 0"),
]


@pytest.mark.parametrize(("said", "named"), REFUSED, ids=lambda v: str(v)[:30])
def test_what_cannot_be_honoured_is_refused_by_name(said, named):
    model, made = searching()
    with pytest.raises(ConfigError, match=named):
        asyncio.run(model.generate("1+1=", config=GenerateConfig(**said)))
    assert made.setups[0].backend.generated == 0


def test_turns_of_a_conversation_are_kept():
    model, made = searching(Greedy(), accuracy=1.0)
    seen = []
    simulate = made.setups[0].backend.simulate
    made.setups[0].backend.simulate = lambda p, *a: seen.append(p) or simulate(p, *a)
    turns = [
        ChatMessageSystem(content="Be brief."),
        ChatMessageUser(content=[ContentText(text="1+1=")]),
        ChatMessageAssistant(content="2"),
        ChatMessageUser(content="2+3="),
    ]
    output = asyncio.run(model.generate(turns))
    assert output.completion.endswith("\\boxed{5}")
    assert [m.role for m in seen[0].messages] == ["system", "user", "assistant", "user"]


def test_pictures_and_tools_are_refused_by_name():
    model, _ = searching()
    picture = ContentImage(image="data:image/png;base64,iVBORw0KGgo=")
    with pytest.raises(ConfigError, match="'image'"):
        asyncio.run(model.generate([ChatMessageUser(content=[picture])]))
    tool = ToolInfo(name="calculator", description="Calculates.")
    with pytest.raises(ConfigError, match="calculator"):
        asyncio.run(model.generate("1+1=", tools=[tool]))


ARMS = {"+arms.a": ["strategy=greedy"], "+arms.b": ["strategy=self_consistency"]}
BAD = [
    ({"strategy": "best_of"}, "no strategy 'best_of'"),
    ({"strategy.m": 3}, "no field strategy.m"),
    ({"strategy": "best_of_n"}, "BestOfN needs a verifier"),
    ({"repeats": 2}, "repeats samples itself"),
    ({"total_budget.completion_tokens": "2k"}, "total_budget means nothing"),
    (ARMS, "several arms"),
    ({**ARMS, "arm": "x"}, "no arm 'x'"),
]


@pytest.mark.parametrize(("args", "sentence"), BAD, ids=lambda v: str(v)[:30])
def test_bad_configurations_are_refused_before_anything(args, sentence):
    with pytest.raises(ConfigError, match=sentence):
        get_model("tts/mini-reasoner", backend="simulated", **args)


def test_an_arm_of_an_experiment_can_be_the_model():
    model = get_model("tts/mini-reasoner", backend="simulated", **ARMS, arm="b")
    output = asyncio.run(model.generate("1+1="))
    assert len(output.metadata["tts"]["candidates"]) == 8


def test_values_keep_their_kind_on_their_way():
    from tts.cli.inspect_models import overrides

    given = {"a": "2k", "b": {"c": None, "d": [1, "x", "y z"]}, "e": "true", "f": True, "g": "it's"}
    assert list(overrides(given)) == [
        "a='2k'", "b.c=null", "b.d=[1,x,'y z']", "e='true'", "f=true", r"g='it\'s'"
    ]  # fmt: skip
