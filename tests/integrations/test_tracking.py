"""Runs in trackers, the real libraries in a folder of their own."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from tests.folders import summary
from tests.servers.fixtures import closed_port
from tts.cli import main
from tts.errors import ConfigError
from tts.evaluation.summary import Row
from tts.integrations._courier import Courier
from tts.integrations.exporting import to_collector
from tts.integrations.mlflow import MLflow
from tts.integrations.tracking import INTERVAL, Journal, parameters
from tts.integrations.wandb import WeightsAndBiases
from tts.types import Spent

DYING = ("~backend.model", "~backend.engine", "~backend.prices", "strategy=greedy")
SMALL = ("backend=simulated", "task.n_problems=6", "strategy=self_consistency", "strategy.n=2")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """Everything goes to a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    for name in ("MLFLOW_TRACKING_URI", "WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "nothing"))
    monkeypatch.setenv("HOME", str(tmp_path))


def tts(*words):
    return main(["run", *SMALL, "hydra.run.dir=out", *words])


class Diary:
    """A tracker that remembers, and fails if it is told to."""

    name = "Diary"

    def __init__(self, broken=False):
        self.said, self.broken = [], broken

    def begin(self, name, parameters):
        self.said.append(("begin", name, parameters))
        return self

    def log(self, step, values):
        if self.broken:
            raise OSError("The disk is full.")
        self.said.append(("log", step, values))

    def keep(self, files):
        self.said.append(("keep", [path.name for path in files]))

    def close(self, *, failed):
        self.said.append(("close", failed))


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def told():
    """Tells a diary of an arm with ten problems; returns what was said to the user."""

    async def tell(diary, clock=None):
        from tests.integrations.arms import arm_of, outcome_of

        lines = []
        journal = Journal(diary, lines.append, clock or Clock())
        chapter = journal.chapter()
        arm = arm_of()
        chapter.begin(arm, 10, [])
        outcomes = [outcome_of(i, correct=i % 2 == 0) for i in range(10)]
        for outcome in outcomes:
            chapter.on_event(Spent(outcome.problem_id, outcome.usage))
            chapter.keep(outcome)
            if clock:
                clock.now += 1
        chapter.end(Row.of("votes", arm.names, "hash", outcomes))
        chapter.files([Path("a/summary.json")])
        chapter.close(failed=False)
        chapter.close(failed=True)
        journal.close()
        return lines

    return tell


async def test_a_tracker_hears_the_whole_story_in_order(told):
    diary = Diary()
    assert await told(diary) == []
    kinds = [entry[0] for entry in diary.said]
    assert kinds == ["begin", "log", "keep", "close"]
    _, step, values = diary.said[1]
    assert step == 10 and values["accuracy"] == values["progress/accuracy"] == 0.5
    assert values["progress/completion_tokens"] == values["completion_tokens"] == 100
    assert diary.said[0][2]["strategy_name"] == "self_consistency"
    assert diary.said[-1] == ("close", False)


async def test_figures_are_told_now_and_then(told):
    diary = Diary()
    await told(diary, Clock())
    steps = [entry[1] for entry in diary.said if entry[0] == "log"]
    assert steps == [int(INTERVAL) + 1, 10]


async def test_a_tracker_that_fails_says_so_once_and_is_left_out(told):
    diary = Diary(broken=True)
    (line,) = await told(diary)
    assert line == "Diary is left out from here on: OSError: The disk is full."
    assert [entry[0] for entry in diary.said] == ["begin"]


def test_a_tracker_that_hangs_is_not_waited_for_in_vain():
    lines, stuck = [], threading.Event()
    courier = Courier("Diary", lines.append)
    courier.send(stuck.wait)
    courier.close(0.01)
    assert lines == ["Diary did not answer within 0.01 s; its log is not whole."]
    stuck.set()


def test_parameters_are_flat_and_short():
    found = parameters({"a": {"b": 1, "c": None}, "d": [1, 2], "e": "x" * 1000})
    assert found == {"a.b": "1", "d": "[1, 2]", "e": "x" * 500}


# --- the real ones ------------------------------------------------------------------------------


def test_a_run_is_kept_in_mlflow(tmp_path):
    uri = f"file://{tmp_path}/mlruns"
    words = ("tracker=mlflow", f"tracker.tracking_uri={uri}", "tracker.experiment=sums")
    assert tts(*words) == 0
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("sums")
    (run,) = client.search_runs([experiment.experiment_id])
    (row,) = summary("out")
    assert run.info.run_name == "self_consistency" and run.info.status == "FINISHED"
    assert run.data.params["strategy.n"] == "2" and run.data.params["task.name"] == "mini"
    assert run.data.metrics["accuracy"] == row["accuracy"]
    assert run.data.metrics["completion_tokens"] == row["completion_tokens"]
    assert run.data.metrics["progress/completion_tokens"] == row["completion_tokens"]
    kept = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
    assert {"summary.json", "summary.md", "config.yaml", "provenance.json"} <= kept


def test_a_run_is_kept_by_wandb_without_a_network(tmp_path):
    assert tts("tracker=wandb", "tracker.folder=w") == 0
    (folder,) = (tmp_path / "w" / "wandb").glob("offline-run-*")
    assert list(folder.glob("*.wandb"))
    kept = folder / "files" / "tts"
    assert {path.name for path in kept.iterdir()} >= {"summary.json", "config.yaml"}
    assert not any(path.is_symlink() for path in kept.iterdir())
    assert (kept / "config.yaml").read_text() == Path("out/config.yaml").read_text()


def test_a_tracker_changes_no_results_and_no_hash(capsys):
    assert tts() == 0
    (plain,) = summary("out")
    assert main(["run", *SMALL, "hydra.run.dir=other", "tracing=file", "tracing.path=s.jsonl"]) == 0
    (traced,) = summary("other")
    assert traced["configuration"] == plain["configuration"]
    assert traced["accuracy"] == plain["accuracy"] and traced["calls"] == plain["calls"]
    spans = [json.loads(line) for line in Path("s.jsonl").read_text().splitlines()]
    names = [span["name"].split()[0] for span in spans]
    assert names.count("evaluate") == 1 and names.count("solve") == 6
    assert names.count("chat") == plain["calls"]
    ids = {span["context"]["span_id"] for span in spans}
    assert all(span["parent_id"] in ids for span in spans if not span["name"].startswith("eval"))


def test_a_run_that_ends_by_a_fault_is_kept_as_failed(tmp_path, capsys):
    words = ("tracker=mlflow", f"tracker.tracking_uri=file://{tmp_path}/mlruns")
    dying = "backend._target_=tests.integrations.arms.dying"
    assert main(["run", dying, *DYING, *words, "hydra.run.dir=out"]) == 1
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"file://{tmp_path}/mlruns")
    (run,) = client.search_runs([client.get_experiment_by_name("tts").experiment_id])
    assert run.info.status == "FAILED"


# --- bad settings -------------------------------------------------------------------------------

BAD = [
    (("tracker=mlflow", "tracker.tracking_uri=http://127.0.0.1:{port}"), "No MLflow server"),
    (("tracker=mlflow", "tracker.tracking_uri=gopher://x"), "MLflow cannot use gopher"),
    (("tracker=wandb", "tracker.mode=online"), "Nobody is logged in"),
    (("tracker=wandb", "tracker.mode=on"), "tracker.mode is"),
    (("tracing=otlp", "tracing.endpoint=http://127.0.0.1:{port}/v1/traces"), "No collector"),
    (("tracing=otlp", "tracing.endpoint=nowhere"), "No collector"),
    (("tracing=file", "tracing.path=/proc/no/spans.jsonl"), "cannot be written to"),
    (("tracker=mlflw",), "There is no tracker 'mlflw'"),
]


@pytest.mark.parametrize(("words", "sentence"), BAD, ids=lambda v: str(v)[:50])
def test_bad_settings_are_refused_before_anything_is_spent(words, sentence, capsys):
    port = closed_port()
    assert tts(*(word.format(port=port) for word in words)) == 2
    assert sentence in capsys.readouterr().err
    assert not Path("out").exists()


def test_a_missing_library_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mlflow", None)
    with pytest.raises(ConfigError, match=r"tts-scaling\[tracking\]"):
        MLflow()
    monkeypatch.setitem(__import__("sys").modules, "wandb", None)
    with pytest.raises(ConfigError, match=r"tts-scaling\[tracking\]"):
        WeightsAndBiases()


def test_spans_reach_a_collector(serve):
    collector = serve()
    tracing = to_collector(collector.url.replace("/v1", "/v1/traces"))
    with tracing._tracer.start_as_current_span("hello"):
        pass
    tracing.close()
    assert ("POST", "/v1/traces") in collector.others
