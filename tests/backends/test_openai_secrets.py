"""The key reaches the server, and nothing else: no file, no message, no log."""

from __future__ import annotations

import json
import logging
import traceback

import pytest

from tests.servers.fixtures import ask, decode
from tests.servers.scripted import Act
from tts.backends.openai import OpenAIBackend
from tts.cli import main
from tts.errors import TTSError

KEY = "tts.Zx81.unique"  # of no form that would give it away
FAILURES = [
    Act(429),
    Act(500),
    Act(400),
    Act(401),
    Act(404),
    Act(then="hang up"),
    Act(then="hang up", at=2),
    Act(then="error", at=2),
    Act(body=f"<html>{KEY}</html>"),
    Act(200, body=json.dumps({"error": {"message": f"Bearer {KEY} is broke"}})),
    Act(finish=f"because of {KEY}"),
]


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def everything_said_by(error):
    """The error with all that is chained to it, as a traceback, a pickle and a repr would tell."""
    said = "".join(traceback.format_exception(error))
    while error is not None:
        said += f"{error!r} {vars(error)}"
        error = error.__cause__ or error.__context__
    return said


@pytest.mark.parametrize("watch", [False, True])
@pytest.mark.parametrize("act", FAILURES, ids=lambda act: str(act).replace(KEY, "KEY"))
async def test_no_failure_tells_the_key(serve, caplog, act, watch):
    server = serve(key=KEY)
    server.usual = act
    backend = _connected(server)
    with caplog.at_level(logging.DEBUG), pytest.raises(TTSError) as caught:
        await decode(backend, ask(watch=watch))
    await backend.aclose()
    assert server.calls[0].authorization == f"Bearer {KEY}"
    assert KEY not in everything_said_by(caught.value)
    assert KEY not in caplog.text
    assert KEY not in repr(backend)
    assert KEY not in json.dumps([backend.provenance(), dict(backend.identity())])


@pytest.mark.parametrize(
    "secret", ["sk-other-key", "Bearer abcdef0123", "http://me:passw0rd@host/", "SK-PROJ-1***89"]
)
async def test_other_peoples_secrets_are_not_repeated_either(serve, secret):
    server = serve()
    server.usual = Act(400, body=json.dumps({"error": {"message": f"no: {secret}, {KEY}."}}))
    backend = _connected(server)
    with pytest.raises(TTSError, match="no: ") as caught:
        await decode(backend, ask())
    await backend.aclose()
    said = everything_said_by(caught.value)
    for word in (secret, secret.split()[-1], "passw0rd"):
        assert word not in said


def _connected(server):
    async def at_once(_):
        """No wait."""

    return OpenAIBackend("toy", server.url, sleep=at_once, retries=2)


COMMAND = [
    "run", "backend=openai", "backend.model=toy", "backend.server=generic", "task.n_problems=8",
    "strategy=self_consistency", "strategy.n=2", "backend.retries=0", "hydra.run.dir=out",
]  # fmt: skip


def test_no_file_of_a_run_tells_the_key(serve, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    server = serve(key=KEY)
    server.acts.extend(act for act in FAILURES if act.status not in (401, 404))
    code = main([*COMMAND, f"backend.base_url={server.url}"])
    out = capfd.readouterr()
    assert code == 3, out.err  # some problems failed
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"results.jsonl", "provenance.json", "config.yaml"} <= {path.name for path in files}
    assert "fail" in (tmp_path / "out" / "results.jsonl").read_text()
    for path in files:
        assert KEY.encode() not in path.read_bytes(), path
    assert KEY not in out.out + out.err
    assert any(call.authorization == f"Bearer {KEY}" for call in server.calls)


@pytest.mark.parametrize("right", [KEY, "sk-another"])
def test_a_run_that_is_turned_away_does_not_tell_the_key(
    serve, tmp_path, monkeypatch, capfd, right
):
    monkeypatch.chdir(tmp_path)
    server = serve(key=right)
    server.usual = Act(401)
    code = main([*COMMAND, f"backend.base_url={server.url}"])
    out = capfd.readouterr()
    assert code == (1 if right == KEY else 2), out.err
    assert "OPENAI_API_KEY" in out.err or right == KEY
    assert KEY not in out.out + out.err
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or KEY.encode() not in path.read_bytes(), path
