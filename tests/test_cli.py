"""The command line: bad input, output folders, interruptions."""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.demo import SIMULATED
from tests.evaluation.test_report import CONTRACT
from tests.folders import lines, summary
from tests.sandbox.walls import needs_sandbox
from tts.backends.simulated import SimulatedBackend
from tts.backends.vllm import VLLMBackend
from tts.cli import main
from tts.cli.arguments import config_dir

CONFIGS = Path(__file__).parents[1] / "configs"
SMALL = ("backend=simulated", "task.n_problems=6")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """Outputs go to a folder of their own."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def unstarted(monkeypatch):
    """No backend may be started."""

    async def start(self):
        raise AssertionError("a backend was started")

    monkeypatch.setattr(SimulatedBackend, "start", start)
    monkeypatch.setattr(VLLMBackend, "start", start)


def tts(*words):
    return main(["run", *words])


def command(*words):
    return [sys.executable, "-m", "tts.cli", "run", *words]


def environment():
    return {**os.environ, "PYTHONPATH": str(CONFIGS.parent)}


# --- help ---------------------------------------------------------------------------------------


def test_help_and_version(capsys):
    assert main(["--help"]) == main([]) == main(["--version"]) == 0
    assert "tts 0." in capsys.readouterr().out
    assert tts("--help") == 0
    text = capsys.readouterr().out
    for word in ("best_of_n, by_difficulty, deep_conf", "demo", "likelihood", "unlimited"):
        assert word in text


def test_help_is_light():
    code = (
        "import sys; from tts.cli import main; main(['run', '--help']);"
        " heavy = {'hydra', 'vllm', 'torch', 'transformers', 'matplotlib', 'scipy', 'numpy'};"
        " assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=environment(), stdout=-3)


# --- bad input ----------------------------------------------------------------------------------

LONG = {"question": "1+" * 3000 + "1=", "answer": "2"}
FILES = {
    "empty.jsonl": "",
    "no_gold.jsonl": '{"question": "1+1="}\n',
    "empty_gold.jsonl": '{"question": "1+1=", "answer": " "}\n',
    "long.jsonl": json.dumps(LONG) + "\n",
}
S = "backend=simulated"
BAD = [
    ([S, "strategy.m=4"], "There is no field strategy.m.", "Did you mean strategy.n?"),
    ([S, "+strategy.m=4"], "There is no field strategy.m.", "Did you mean strategy.n?"),
    ([S, "strategy=greedy", "strategy.n=4"], "There is no field strategy.n.", "has no fields"),
    ([S, "stratgy=greedy"], "There is no field stratgy.", "Did you mean strategy?"),
    ([S, "strategy=best_of"], "There is no strategy 'best_of'.", "strategy=best_of_n"),
    ([S, "experiment=dem"], "There is no experiment 'dem'.", "experiment=demo"),
    ([S, "strategy=3"], "strategy=3 is no choice.", "There are: a_star"),
    ([S, "verifier=null"], "verifier=null is no choice.", "There are: arithmetic, cached"),
    ([S, "nonsense=1"], "There is no field nonsense.", "--help"),
    ([S, "budget.completion_token=2k"], "completion_token.", "budget.completion_tokens?"),
    ([S, "strategy.n"], "'strategy.n' is no override", "strategy.n=8"),
    ([S, "strategy.n=2,4"], "strategy.n=2,4 has several values.", "-m"),
    ([S, "-x"], "There is no option -x.", "--help"),
    ([S, "strategy.n=0"], "strategy.n is 0; it must be at least 1.", "strategy.n"),
    ([S, "strategy.n=many"], "strategy.n is many; it must be a valid integer.", "strategy.n"),
    ([S, "strategy.n=2.5"], "strategy.n is 2.5; it must be a valid integer.", "strategy.n"),
    ([S, "strategy.n=null"], "strategy.n is null; it must be a valid integer.", "strategy.n"),
    ([S, "strategy._target_=no.Such"], "strategy._target_ is no.Such", "package.module"),
    ([S, "strategy=best_of_n"], "BestOfN needs a verifier", "verifier=likelihood"),
    ([S, "budget.completion_tokens=0"], "budget.completion_tokens is 0; it must be greater", "Set"),
    ([S, "budget.flops=-1"], "budget.flops is -1; it must be greater", "Set"),
    ([S, "budget.completion_tokens=2x"], "budget.completion_tokens is 2x", "Set"),
    ([S, "budget.landing_tokens=8"], "landing_tokens is a part of completion_tokens", ""),
    ([S, "controller=beta", "controller.threshold=2"], "controller.threshold is 2", "Set"),
    ([S, "task.n_problems=0"], "task.n_problems is 0; it must be at least 1.", ""),
    ([S, "task.levels=3"], "task.levels is 3; it must be a list.", "task.levels"),
    ([S, "task=jsonl"], "task.path must be given.", "task.path=..."),
    ([S, "task=jsonl", "task.path=none.jsonl"], "There is no file", "task.path"),
    ([S, "task=jsonl", "task.path=empty.jsonl"], "holds no problems", ""),
    ([S, "task=jsonl", "task.path=no_gold.jsonl"], "has no field 'answer'", "task.fields"),
    ([S, "task=jsonl", "task.path=empty_gold.jsonl"], "line 1: the field 'answer'", ""),
    ([S, "seed=x"], "seed is 'x'; it must be a whole number.", "seed=1"),
    ([S, "concurrency=0"], "concurrency is 0; it must be at least 1.", "concurrency"),
    ([S, "model.sampling.temperature=5"], "model.sampling.temperature is 5", "Set model.sampling"),
    ([S, "backend.accuracy=2"], "backend.accuracy is 2", ""),
    ([S, "hydra.run.dir=long.jsonl"], "long.jsonl cannot be written to", "hydra.run.dir"),
    ([S, "experiment=demo", "strategy=greedy"], "Arm 'greedy' of this experiment", "arms=null"),
    ([S, "experiment=demo", "strategy.nn=2"], "There is no field strategy.nn.", "strategy.n?"),
    ([S, "experiment=demo", "arms.greedy=3"], "arms.greedy is 3; it must be a list", "arms.greedy"),
    ([S, "experiment=demo", "+arms.x=[strategy=foo]"], "is no override", "Quote"),
    (["model=mini-resoner"], "There is no model 'mini-resoner'.", "model=mini-reasoner"),
    (["model=/no/such/place"], "'/no/such/place' does not exist", "mini-reasoner"),
    (["model=custom"], "model.name must be given.", "model.name=..."),
    (["model.engine.max_modellen=64"], "max_modellen", "max_model_len"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "sentence", "hint"), BAD, ids=lambda v: " ".join(v)[:60])
def test_bad_input_is_one_sentence_and_a_hint(words, sentence, hint, unstarted, capsys):
    for name, text in FILES.items():
        Path(name).write_text(text)
    assert tts(*words) == 2
    out, err = capsys.readouterr()
    said = err.splitlines()
    assert said[0].startswith("tts: ") and sentence in said[0] and said[0].endswith((".", "?"))
    assert len(said) <= 2 and out == ""
    if hint:
        assert said[1].startswith("hint: ") and hint in said[1]
    assert not Path("outputs").exists()


def test_a_prompt_longer_than_the_context(unstarted, capsys):
    Path("long.jsonl").write_text(FILES["long.jsonl"])
    assert tts("task=jsonl", "task.path=long.jsonl") == 2
    err = capsys.readouterr().err
    assert "The prompt of problem 'long-0' has" in err
    assert "model.engine.max_model_len" in err


def test_bad_input_is_answered_fast_and_without_the_engine():
    code = (
        "import sys; from tts.cli import main;"
        " codes = [main(['run', *w.split()]) for w in"
        " ('strategy.n=0', 'strategy=foo', 'budget.calls=0', 'model=/no', 'task.n_problems=0')];"
        " assert codes == [2] * 5, codes;"
        " heavy = {'vllm', 'torch', 'transformers', 'matplotlib', 'scipy'} & set(sys.modules);"
        " assert not heavy, heavy"
    )
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", code], check=True, env=environment(), stderr=-3)
    assert time.monotonic() - started < 20  # five complaints; one takes a second or two


def test_a_file_that_is_no_yaml_is_named_with_its_line(capsys):
    Path("mine/strategy").mkdir(parents=True)
    Path("mine/strategy/odd.yaml").write_text("# Odd.\nn: [1, a[b]]\n")
    assert tts("--config-dir", "mine", "strategy=odd", *SMALL) == 2
    assert "odd.yaml, line 2 cannot be read" in capsys.readouterr().err


# --- a run --------------------------------------------------------------------------------------


def test_a_run_writes_its_folder(capsys):
    assert tts(*SMALL, "seed=7", "hydra.run.dir=out", "budget.completion_tokens=1.5k") == 0
    files = {p.name for p in Path("out").iterdir()}
    assert files == {
        "config.yaml", "provenance.json", "results.jsonl", "trees.jsonl", "summary.json",
        "summary.md", "accuracy_vs_compute.png",
    }  # fmt: skip
    (row,) = summary("out")
    assert set(CONTRACT) <= row.keys()
    assert (row["strategy"], row["task"], row["backend"]) == (
        "self_consistency",
        "mini",
        "simulated",
    )
    assert (row["seed"], row["n_problems"], row["budget"]) == (7, 6, {"completion_tokens": 1500})
    assert len(lines("out")) == 6
    config = yaml.safe_load(Path("out/config.yaml").read_text())
    assert config["task"]["n_problems"] == 6
    about = json.loads(Path("out/provenance.json").read_text())
    assert about["config"] == config
    out, err = capsys.readouterr()
    assert "self_consistency" in out and "Simulated" in out and "Results: out" in out
    assert "6/6 problems" in err


def test_folders_are_named_after_the_experiment_or_the_task():
    assert tts(*SMALL) == 0
    (folder,) = Path("outputs/mini").iterdir()
    assert summary(folder)
    assert tts(*SIMULATED, "task.n_problems=6") == 0
    assert summary("outputs/demo")


def test_the_configuration_can_be_printed(unstarted, capsys):
    assert tts("--cfg", "job", "strategy.n=3", "model=/tmp", "experiment=null") == 0
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["strategy"]["n"] == 3
    assert config["model"]["name"] == config["backend"]["model"] == "/tmp"


def test_a_folder_of_ones_own(tmp_path):
    (tmp_path / "mine" / "strategy").mkdir(parents=True)
    text = "_target_: tts.strategies.SelfConsistency\nn: 2\n"
    (tmp_path / "mine" / "strategy" / "pair.yaml").write_text(text)
    assert tts(*SMALL, "--config-dir", "mine", "strategy=pair", "hydra.run.dir=out") == 0
    assert (summary("out")[0]["strategy"], summary("out")[0]["n"]) == ("pair", 2)
    (tmp_path / "mine" / "model").mkdir()
    ours = (CONFIGS / "model" / "mini-reasoner.yaml").read_text()
    (tmp_path / "mine" / "model" / "hot.yaml").write_text(ours.replace("0.8", "1.5"))
    assert tts(*SMALL, "--config-dir", "mine", "model=hot", "hydra.run.dir=out") == 0
    assert "temperature: 1.5" in Path("out/config.yaml").read_text()


def test_running_again():
    once = (*SMALL, "hydra.run.dir=out")
    assert tts(*once) == 0
    first = summary("out")
    assert tts(*once) == 0  # finished: starts again, with the same draws
    again = summary("out")
    assert [r["accuracy"] for r in first] == [r["accuracy"] for r in again]
    assert len(lines("out")) == len(lines("out/earlier/1")) == 6
    assert tts(*once, "seed=1") == 0  # another configuration: never mixed
    assert {line["seed"] for line in lines("out")} == {1}
    assert len(lines("out/earlier/2")) == 6


def test_failures_have_an_exit_code_of_their_own(monkeypatch, capsys):
    import tts.backends.arithmetic as simulation
    from tts.errors import BackendError

    real = simulation.work_out

    def flaky(text):
        if "+" in text:
            raise BackendError("The line is down.")
        return real(text)

    with monkeypatch.context() as broken:
        broken.setattr(simulation, "work_out", flaky)
        assert tts(*SMALL, "hydra.run.dir=out") == 3
    (row,) = summary("out")
    assert row["n_failed"] > 0
    assert "problems failed" in capsys.readouterr().out
    assert tts(*SMALL, "hydra.run.dir=out") == 0  # runs what had failed, and nothing else
    assert summary("out")[0]["n_failed"] == 0
    assert not Path("out/earlier").exists()


def test_a_dead_engine_is_a_fault_in_one_sentence(monkeypatch, capsys):
    import tts.backends.arithmetic as simulation
    from tts.errors import EngineDead

    def dead(text):
        error = EngineDead("The engine has died.", hint="Start again.")
        error.retryable = False
        raise error

    monkeypatch.setattr(simulation, "work_out", dead)
    assert tts(*SMALL, "hydra.run.dir=out") == 1
    assert capsys.readouterr().err.endswith("tts: The engine has died.\nhint: Start again.\n")


# --- interruptions ------------------------------------------------------------------------------

SLOW = (S, "strategy.n=2", "task.n_problems=60", "backend.seconds_per_token=0.003",
        "backend.slots=8", "hydra.run.dir=out")  # fmt: skip


def wait_for_lines(n):
    deadline = time.monotonic() + 60
    path = Path("out/results.jsonl")
    while not path.exists() or path.read_bytes().count(b"\n") <= n:  # with the header
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_kills_at_random_moments_lose_nothing_and_pay_nothing_twice():
    rng = random.Random(5)
    done = 0
    for _ in range(3):
        run = subprocess.Popen(command(*SLOW), env=environment(), stdout=-3, stderr=-3)
        wait_for_lines(done + 5)
        time.sleep(rng.uniform(0, 0.3))
        run.kill()
        run.wait()
        whole = Path("out/results.jsonl").read_bytes()
        done = whole.count(b"\n") - 1
        # What a kill in the middle of a write would leave.
        line = whole.splitlines()[1]
        Path("out/results.jsonl").write_bytes(whole + line[: rng.randint(1, 200)])
        assert done < 60, "the run must not have ended before its kill"
    assert tts(*SLOW) == 0
    problems = [line["id"] for line in lines("out")]
    assert len(problems) == len(set(problems)) == 60
    assert summary("out")[0]["n_problems"] == 60
    assert not Path("out/earlier").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_says_how_to_go_on(number, code):
    run = subprocess.Popen(
        command(*SLOW), env=environment(), stdout=-3, stderr=subprocess.PIPE, text=True
    )
    wait_for_lines(5)
    started = time.monotonic()
    run.send_signal(number)
    _, err = run.communicate(timeout=30)
    assert time.monotonic() - started < 8
    assert run.returncode == code
    assert "Traceback" not in err
    found = re.search(r"Stopped with (\d+) of 60 problems done", err)
    assert found and int(found[1]) == len(lines("out")) >= 5
    assert "hydra.run.dir=out goes on from there" in err


# --- configurations -----------------------------------------------------------------------------

OWN = (
    *("strategy", "selector", "verifier", "budget", "controller", "experiment", "backend", "draft"),
    *("executor", "tracker", "tracing"),
)


# What wants an engine, a server, a file, or a model that knows its tokens: see the tests of each.
ELSEWHERE = {"prm", "prm_server", "calibrated", "probe", "tournament", "program_tests"}
SANDBOXED = {"program_agreement", "command"}
WALLED = (needs_sandbox,)
BESIDE = {
    "controller=optimal_stopping": ["strategy=first_accepted"],
    "controller=allocation": ["total_budget.calls=100"],
}


def test_configurations_are_found_in_the_checkout():
    assert config_dir() == CONFIGS


@pytest.mark.parametrize(
    "override",
    [
        pytest.param(f"{group}={path.stem}", marks=WALLED if path.stem in SANDBOXED else ())
        for group in ("strategy", "selector", "verifier", "budget", "controller")
        for path in sorted((CONFIGS / group).glob("*.yaml"))
        if path.stem not in ELSEWHERE
    ],
)
def test_every_choice_runs(override):
    verifier = () if override.startswith("verifier") else ("verifier=likelihood",)
    beside = BESIDE.get(override, ())
    assert tts(*SMALL, "draft=simulated", override, *verifier, *beside, "hydra.run.dir=out") == 0


@pytest.mark.parametrize(
    "path", sorted((CONFIGS / "experiment").glob("*.yaml")), ids=lambda p: p.stem
)
def test_every_experiment_composes(path, capsys):
    assert tts("--cfg", "job", f"experiment={path.stem}", "task.n_problems=3") == 0
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["experiment"] == path.stem
    assert config["arms"]


@pytest.mark.parametrize(
    "path", [CONFIGS / "config.yaml", *(p for g in OWN for p in sorted((CONFIGS / g).glob("*")))],
    ids=lambda p: f"{p.parent.name}/{p.name}",
)  # fmt: skip
def test_every_field_is_explained(path):
    said = path.read_text().splitlines()
    assert said[0].startswith("#")
    for before, line in itertools.pairwise(said):
        field = re.match(r"(\w+): \S", line)
        if field and path.parent.name not in ("experiment", "configs") and field[1] != "_target_":
            explained = before.lstrip().startswith("#") or field[1] in ("model", "engine")
            assert explained, f"{path.name}: {field[1]} has no comment"
