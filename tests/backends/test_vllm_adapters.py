"""LoRA adapters by name on one real engine; and JSON from a model that can spell it."""

from __future__ import annotations

import asyncio
import json
import shutil

import pytest
import pytest_asyncio

import tts
from tests.engine.adapters import adapter, bytewise, logprobs, merged
from tests.engine_fixtures import other_peoples_warnings
from tts.backends.vllm import VLLMBackend
from tts.engine import adapters as module
from tts.errors import ConfigError
from tts.tasks import JsonAnswers
from tts.types import Problem, Request, Sampling, Segment, Structure, Trajectory

pytestmark = pytest.mark.engine

PROBLEM = Problem("p", prompt="Once upon a time there was a byte that wanted to be a word.")
NAMES = (None, "first", "second")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("adapters")
    return {
        None: bytewise(root / "model"),
        "first": adapter(root / "first", 1),
        "second": adapter(root / "second", 2, rank=12),
    }


def settings(folders):
    lora = {name: str(path) for name, path in folders.items() if name}
    return {"lora": lora, "kv_cache_gib": 0.25, "max_num_seqs": 16}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def engine(folders):
    with other_peoples_warnings():
        backend = VLLMBackend(str(folders[None]), settings(folders))
        await backend.start()
    yield backend
    with other_peoples_warnings():
        await backend.aclose()


def ask(problem=PROBLEM, **how) -> Request:
    return Request(problem, Trajectory.root(), **{"max_tokens": 12, "seed": 3, **how})


async def decode(backend, request):
    async with backend.open(request) as stream:
        async for _ in stream:
            pass
    return stream


@pytest.mark.parametrize("name", NAMES)
async def test_answers_are_those_of_the_merged_weights(engine, folders, name):
    backend = engine.adapter(name)
    stream = await decode(backend, ask(logprobs=0))
    tokens = list(stream.trajectory.segment.tokens)
    prompt = backend.text.encode(PROBLEM, Trajectory.root())
    truth = logprobs(merged(folders[None], folders[name] if name else None), prompt + tokens,
                     len(prompt))  # fmt: skip
    assert stream.trajectory.segment.logprobs == pytest.approx(truth, abs=1e-3)
    others = [other for other in NAMES if other != name]
    for other in others:
        path = folders[other] if other else None
        wrong = logprobs(merged(folders[None], path), prompt + tokens, len(prompt))
        assert max(abs(a - b) for a, b in zip(truth, wrong, strict=True)) > 0.1


async def test_they_go_side_by_side_as_alone(engine):
    backends = [engine.adapter(NAMES[n % 3]) for n in range(9)]
    request = ask(sampling=Sampling(temperature=0.0))
    together = await asyncio.gather(*(decode(backend, request) for backend in backends))
    texts = [stream.trajectory.text for stream in together]
    assert texts == texts[:3] * 3
    assert len(set(texts)) == 3
    for name, text in zip(NAMES, texts, strict=False):  # those without one, above all
        assert (await decode(engine.adapter(name), request)).trajectory.text == text


async def test_a_given_text_is_read_with_the_adapter(engine, folders):
    given = Segment(" And so")
    for name in NAMES:
        backend = engine.adapter(name)
        read, _ = await backend.read(PROBLEM, Trajectory.root(), given)
        prompt = backend.text.encode(PROBLEM, Trajectory.root())
        model = merged(folders[None], folders[name] if name else None)
        truth = logprobs(model, [*prompt, *read.tokens], len(prompt))
        assert read.logprobs == pytest.approx(truth, abs=1e-3)


async def test_cached_prefixes_are_kept_apart(engine):
    problem = Problem("long", prompt="A prefix of more than two blocks. " * 3)
    cached = []
    for name in ("first", "second", "first", "second", None, None):
        usage = (await decode(engine.adapter(name), ask(problem))).usage
        cached.append(usage.cached_tokens)
    assert cached[:2] == [0, 0]
    assert cached[2] == cached[3] == cached[5] > 60
    assert cached[4] == 0


def test_each_has_an_identity_and_a_cost_of_its_own(engine, folders, tmp_path):
    backends = [engine.adapter(name) for name in NAMES]
    identities = [json.dumps(backend.identity(), sort_keys=True) for backend in backends]
    assert len(set(identities)) == 3
    plain = VLLMBackend(str(folders[None]), {"kv_cache_gib": 0.25})
    assert plain.identity() == backends[0].identity()  # nothing is different without one
    assert [b.provenance().get("adapter", {}).get("name") for b in backends] == list(NAMES)
    base, first, second = (backend.model for backend in backends)
    assert (base.name + "+first", base.tokenizer) == (first.name, first.tokenizer)
    assert base.active_params < first.active_params < second.active_params
    moved = shutil.copytree(folders["first"], tmp_path / "moved")
    same = VLLMBackend(str(folders[None]), {"lora": {"x": str(moved)}}, adapter="x")
    assert same.identity() == backends[1].identity()  # whatever it is called, and wherever it is


async def test_a_policy_and_a_draft_may_share_an_engine(engine):
    result = await tts.solve(
        PROBLEM, strategy=tts.SelfConsistency(n=2), backend=engine.adapter("first"), max_tokens=8
    )
    assert len(result.candidates) == 2


async def test_the_engine_ends_with_the_last_that_shares_it(folders):
    first = VLLMBackend(str(folders[None]), settings(folders), adapter="first")
    second = first.adapter(None)
    await first.aclose()
    assert not second.engine._closed
    await second.aclose()
    assert second.engine._closed


async def test_json_of_a_schema(engine):
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 6},
            "count": {"type": "integer", "minimum": 0, "maximum": 50},
            "kinds": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2},
        },
        "required": ["name", "count", "kinds"],
        "additionalProperties": False,
    }
    structure = Structure(json_schema=schema)
    engine.check_structure(structure)
    requests = [ask(seed=seed, max_tokens=200, structure=structure) for seed in range(8)]
    streams = await asyncio.gather(*(decode(engine.adapter("first"), each) for each in requests))
    values = [json.loads(stream.trajectory.text, strict=False) for stream in streams]
    assert all(list(value) == ["name", "count", "kinds"] for value in values)
    assert all(len(value["name"]) <= 6 and 0 <= value["count"] <= 50 for value in values)
    assert all(set(value["kinds"]) <= {"a", "b"} for value in values)
    assert all(": " not in s.trajectory.text.replace(value["name"], "")
               for s, value in zip(streams, values, strict=True))  # fmt: skip
    counts = JsonAnswers("count")
    assert [counts.extract(s.trajectory.text) for s in streams] == [str(v["count"]) for v in values]


# --- what is refused before anything is started -------------------------------------------------


def refuse(folders, path, why, **how):
    with pytest.raises(ConfigError, match=why) as caught:
        VLLMBackend(str(folders[None]), {"lora": {"mine": str(path)}, **how})
    assert "lora.mine" in caught.value.message or how
    assert caught.value.hint


def test_folders_that_are_no_adapters(folders, tmp_path):
    refuse(folders, tmp_path / "nowhere", "there is no folder")
    refuse(folders, folders[None], "holds no adapter_config.json")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "adapter_config.json").write_text("{")
    refuse(folders, tmp_path / "broken", "cannot be read")
    (tmp_path / "broken" / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 1}')
    refuse(folders, tmp_path / "broken", "holds no adapter_model.safetensors")
    (tmp_path / "broken" / "adapter_model.safetensors").write_text("no weights")
    refuse(folders, tmp_path / "broken", "no file of weights")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"peft_type": "IA3"}, "'IA3'"),
        ({"use_dora": True}, "use_dora"),
        ({"bias": "all"}, "bias"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
    ],
)
def test_what_vllm_does_not_know(folders, tmp_path, said, why):
    refuse(folders, adapter(tmp_path / "odd", 1, **said), why)


def test_adapters_of_other_models(folders, tmp_path):
    refuse(
        folders, adapter(tmp_path / "deep", 1, layers=3), "it changes layer 2, and the model has 2"
    )
    refuse(folders, adapter(tmp_path / "high", 1, rank=600), "rank is 600")
    with pytest.raises(ConfigError, match="it was made for a"):
        VLLMBackend("mini-reasoner-l", {"lora": {"mine": str(folders["first"])}})


def test_settings_that_exclude_each_other(folders):
    refuse(folders, folders["first"], "reproducible", reproducible=True)
    with pytest.raises(ConfigError, match="has no adapter 'third'"):
        VLLMBackend(str(folders[None]), settings(folders), adapter="third")


def test_the_rank_is_rounded_up_to_one_that_vllm_knows(folders):
    found = VLLMBackend(str(folders[None]), settings(folders)).engine.config
    assert found.arguments["max_lora_rank"] == 16
    assert found.arguments["max_loras"] == 3  # one stays empty, see `arguments_of`
    assert [each.number for each in found.adapters] == [1, 2]
    assert module.arguments_of((), on_cuda=True) == {}
    assert module.arguments_of(found.adapters, on_cuda=True)["max_loras"] == 2
