"""Structured answers of servers: what they are told, and what is refused."""

from __future__ import annotations

import asyncio

import pytest

from tests.servers.fixtures import ask, decode
from tests.servers.scripted import Act
from tts.backends._openai.settings import is_guided
from tts.backends._openai.wire import Ask, Dialect, body
from tts.engine.models import BUNDLED
from tts.errors import BackendError, CapabilityMissing, ConfigError
from tts.types import Capability, Problem, Segment, Structure, Trajectory

CHAT = Problem.chat("chat", "why?")
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
JSON = Structure(json_schema=SCHEMA)
REGEX = Structure(regex="[0-9]+")


def test_a_vllm_server_is_told_in_its_own_words():
    dialect = Dialect("toy", vllm=True, ids=False, seeds=True)
    for structure, said in (
        (JSON, {"json": SCHEMA}),
        (REGEX, {"regex": "[0-9]+"}),
        (Structure(choice=("a", "b")), {"choice": ["a", "b"]}),
        (Structure(grammar="root ::= x"), {"grammar": "root ::= x"}),
    ):
        sent = body(dialect, ask(CHAT, structure=structure), Ask("chat", "", 10))
        assert sent["structured_outputs"] == said
        assert "response_format" not in sent
    assert "structured_outputs" not in body(dialect, ask(CHAT), Ask("chat", "", 10))


def test_an_old_vllm_server_is_told_by_the_names_it_had():
    dialect = Dialect("toy", vllm=True, ids=False, seeds=True, guided=True)
    sent = body(dialect, ask(CHAT, structure=REGEX), Ask("chat", "", 10))
    assert sent["guided_regex"] == "[0-9]+"
    assert "structured_outputs" not in sent


@pytest.mark.parametrize(
    ("version", "old"),
    [("0.10.2", True), ("0.11.0", False), ("0.32.0", False), ("1.0", False), ("", False),
     ("nightly", False), ("0.9.2rc1", True), ("0.1.dev1+g2a", False)],
)  # fmt: skip
def test_which_versions_are_old(version, old):
    assert is_guided(version) is old


async def test_another_server_is_sent_a_response_format(serve, connect):
    server = serve()
    backend = connect(server, structured=True)
    assert Capability.STRUCTURED in backend.capabilities
    backend.check_structure(JSON)
    await decode(backend, ask(CHAT, structure=JSON))
    wanted = {"name": "answer", "schema": SCHEMA, "strict": True}
    (call,) = server.calls
    assert call.body["response_format"] == {"type": "json_schema", "json_schema": wanted}


async def test_samples_with_other_structures_are_not_joined(serve, connect):
    server = serve()
    backend = connect(server, structured=True, choices=4)
    other = Structure(json_schema={"type": "integer"})
    requests = [ask(CHAT, child=n, structure=s) for n, s in enumerate((JSON, JSON, other, None))]
    await asyncio.gather(*(decode(backend, request) for request in requests))
    assert sorted(call.body.get("n", 1) for call in server.calls) == [1, 1, 2]


@pytest.mark.parametrize("structure", [REGEX, Structure(json_schema=SCHEMA, after="</think>")])
async def test_what_only_vllm_knows_is_refused_elsewhere(serve, connect, structure):
    server = serve()
    backend = connect(server, structured=True)
    with pytest.raises(CapabilityMissing, match="vLLM"):
        backend.check_structure(structure)
    with pytest.raises(CapabilityMissing, match="vLLM"):
        await decode(backend, ask(CHAT, structure=structure))
    with pytest.raises(CapabilityMissing, match="plain completions"):
        await decode(backend, ask(structure=JSON))
    assert server.calls == []


async def test_a_server_that_is_not_known_to_have_grammars_is_not_asked(serve, connect):
    server = serve()
    backend = connect(server)
    assert Capability.STRUCTURED not in backend.capabilities
    with pytest.raises(CapabilityMissing, match="structure"):
        backend.check_structure(JSON)
    with pytest.raises(CapabilityMissing, match="structure"):
        await decode(backend, ask(CHAT, structure=JSON))
    assert server.calls == []


async def test_the_tokenizer_of_an_adapter_is_that_of_the_model_beneath(serve, connect):
    backend = connect(serve(vllm=True, base=str(BUNDLED / "mini-reasoner")))
    assert Capability.TOKEN_IDS in backend.capabilities
    assert backend.identity()["root"] == "/nowhere"


async def test_a_structured_answer_is_not_continued(serve, connect):
    backend = connect(serve(vllm=True))
    part = Trajectory.root().extend(Segment("alpha1 "), child=0, clock=1)
    with pytest.raises(ConfigError, match="begin anew"):
        await decode(backend, ask(CHAT, part, structure=REGEX))


async def test_one_that_was_cut_is_an_error(serve, connect):
    server = serve(vllm=True)
    backend = connect(server, seeds=False)
    server.acts.append(Act(then="hang up", at=3))
    with pytest.raises(BackendError, match="cannot be continued"):
        await decode(backend, ask(CHAT, watch=True, structure=REGEX))
