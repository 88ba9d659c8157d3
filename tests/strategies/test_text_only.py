"""Every strategy on a chat server that gives text and nothing else: it runs, or says why not."""

from __future__ import annotations

from operator import ge
from pathlib import Path

import pytest

import tts
from tests.servers.fixtures import CHAT
from tts import strategies
from tts.cli import main
from tts.errors import CapabilityMissing
from tts.testing import LengthVerifier
from tts.types import Capability

CONFIGS = Path(__file__).parents[2] / "configs"
KINDS = [getattr(strategies, name) for name in strategies.__all__]
STRATEGIES = [kind for kind in KINDS if hasattr(kind, "requires")]
VERIFIERS = [None, LengthVerifier(), tts.Likelihood()]


def lacking(strategy, verifier):
    """Who cannot work here, and for want of what."""
    offered = set() if verifier is None else {Capability.VERIFIER, Capability.PARTIAL_SCORES}
    if verifier is not None and verifier.requires:
        return verifier, min(verifier.requires)
    missing = strategy.requires - offered
    return (strategy, min(missing)) if missing else (None, None)


def noting(open_one, streams):
    """`open_one`, which keeps what it opens."""

    def opens(request):
        streams.append(open_one(request))
        return streams[-1]

    return opens


@pytest.mark.parametrize("verifier", VERIFIERS, ids=lambda v: type(v).__name__)
@pytest.mark.parametrize("kind", STRATEGIES, ids=lambda kind: kind.__name__)
async def test_it_runs_or_is_refused_by_name_before_anything_is_sent(
    serve, connect, monkeypatch, kind, verifier
):
    server, strategy = serve(), kind()
    backend = connect(server)
    streams = []
    monkeypatch.setattr(backend, "open", noting(backend.open, streams))
    who, what = lacking(strategy, verifier)
    arguments = {"strategy": strategy, "backend": backend, "verifier": verifier}
    if who is None:
        result = await tts.solve(CHAT, **arguments)
        assert result.answer is not None
        usage = result.usage
        charged = usage.prompt_tokens, usage.completion_tokens
        counted = sum(call.prompt_tokens for call in server.calls), server.sent
        # Nobody can know what a decode cost that is left before the server counts: all is charged.
        left = any(stream.trajectory.finish == "abort" for stream in streams)
        assert all(map(ge, charged, counted)) if left else charged == counted
        return
    with pytest.raises(CapabilityMissing, match=type(who).__name__) as caught:
        await tts.solve(CHAT, **arguments)
    assert what in str(caught.value).lower()
    assert server.calls == []


@pytest.mark.parametrize("usage", [True, False], ids=["counted", "uncounted"])
@pytest.mark.parametrize("kind", STRATEGIES, ids=lambda kind: kind.__name__)
async def test_a_budget_holds_by_the_servers_own_count(serve, connect, kind, usage):
    server, strategy = serve(usage=usage), kind()
    verifier = LengthVerifier()
    if lacking(strategy, verifier)[0] is not None:
        pytest.skip("is refused here")
    budget = tts.Budget(completion_tokens=70)
    result = await tts.solve(
        CHAT,
        strategy=strategy,
        backend=connect(server),
        verifier=verifier,
        budget=budget,
        max_tokens=40,
    )
    assert 0 < server.sent <= result.usage.completion_tokens <= 70
    assert result.status in ("done", "exhausted")


@pytest.mark.parametrize(
    "name", sorted(path.stem for path in (CONFIGS / "strategy").glob("*.yaml"))
)
def test_the_command_line_says_it_too(serve, tmp_path, monkeypatch, capfd, name):
    monkeypatch.chdir(tmp_path)
    server = serve()
    code = main(
        [
            "run",
            "backend=openai",
            "backend.model=toy",
            f"backend.base_url={server.url}",
            f"strategy={name}",
            "verifier=likelihood",
            "task.n_problems=2",
        ]
    )
    said = capfd.readouterr().err
    assert code == 2, said
    assert "Likelihood needs 'logprobs'" in said
    assert server.calls == []
    assert not (tmp_path / "outputs").exists()
