"""Structures on the command line: what is said reaches the run, and what cannot be is refused."""

from __future__ import annotations

import json

import pytest

from tests.cli.batches import batch
from tts.cli import main
from tts.cli.arguments import Arguments
from tts.cli.jobs import compose_jobs
from tts.cli.workshop import Workshop
from tts.types import Structure

SCHEMA = {"type": "integer", "minimum": 0, "maximum": 999}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))


def work(server, *overrides):
    words = ("backend=openai", "model=toy", f"backend.base_url={server.url}", "task.n_problems=4")
    (job,) = compose_jobs(Arguments(("strategy=greedy", *words, *overrides)))
    return Workshop().work(job, job.arms[0])


def test_what_is_said_reaches_the_run_and_files_it(serve):
    server = serve(vllm=True)
    made = work(server, "structure.json_schema=schema.json", "structure.after='\\boxed{'")
    assert made.arm.setup.structure == Structure(json_schema=SCHEMA, after="\\boxed{")
    assert made.arm.config["structure"] == {"json_schema": SCHEMA, "after": "\\boxed{"}
    assert "structure" not in work(server).arm.config


def refused(words, capsys):
    assert main(["run", "task.n_problems=4", *words]) == 2
    return capsys.readouterr().err


def test_slips_cost_a_sentence(serve, capsys):
    url = serve(vllm=True).url
    held = ["backend=openai", "model=toy", f"backend.base_url={url}", "structure.regex=a"]
    assert "there is no file lost.json" in refused(["structure.json_schema=lost.json"], capsys)
    assert "must be a valid string" in refused(["structure.regex=1"], capsys)
    said = refused(["strategy=beam_search", "verifier=likelihood", *held], capsys)
    assert "BeamSearch continues answers in pieces" in said
    said = refused(["backend=simulated", "structure.regex=a"], capsys)
    assert "cannot hold a model to one" in said


def test_a_batch_with_structured_requests_is_refused_as_a_whole_where_none_could_hold(capsys):
    wanted = {"type": "json_schema", "json_schema": {"schema": SCHEMA}}
    body = {"messages": [{"role": "user", "content": "1+1="}], "response_format": wanted}
    line = {"custom_id": "a", "url": "/v1/chat/completions", "body": body}
    with open("in.jsonl", "w") as file:
        file.write(json.dumps(line) + "\n")
    assert batch("strategy=greedy", "backend=simulated") == 2
    assert "structure" in capsys.readouterr().err
