"""Structured answers of the bundled model on the real engine, and what is refused beforehand."""

from __future__ import annotations

import asyncio
import json
import math
import re

import pytest

import tts
from tts.backends.replay import ReplayBackend
from tts.engine.models import BUNDLED
from tts.errors import BackendError, ConfigError
from tts.tasks import JsonAnswers
from tts.types import Problem, Request, Sampling, Segment, Structure, Trajectory

pytestmark = pytest.mark.engine

PROBLEM = Problem.chat("p", "12+7*3-5+40-6=")
BOXED = Structure(regex=r"-?[0-9]{1,3}\}", after="\\boxed{")
HOT = Sampling(temperature=2.0)


def ask(structure, seed=0, **how) -> Request:
    settings = {"max_tokens": 100, "sampling": HOT, "seed": seed, "structure": structure, **how}
    return Request(PROBLEM, settings.pop("trajectory", Trajectory.root()), **settings)


async def decode(backend, request):
    async with backend.open(request) as stream:
        async for _ in stream:
            pass
    return stream


async def texts(backend, structure, n=12, **how):
    streams = await asyncio.gather(
        *(decode(backend, ask(structure, seed, **how)) for seed in range(n))
    )
    assert all(stream.trajectory.finish == "stop" for stream in streams)
    return [stream.trajectory.text for stream in streams]


@pytest.mark.parametrize(
    ("structure", "pattern"),
    [
        (Structure(regex=r"[0-9]{3}-[0-9]{2}"), r"\d{3}-\d{2}"),
        (Structure(choice=("12", "7+7", "(1)")), r"12|7\+7|\(1\)"),
        (Structure(json_schema={"type": "integer", "minimum": 0, "maximum": 299}), r"[12]?\d?\d"),
        (Structure(grammar='root ::= digit "+" digit\ndigit ::= [1-3]'), r"[1-3]\+[1-3]"),
        (Structure(grammar='start: "1" tail\ntail: "+2" | "+3"'), r"1\+[23]"),
        (BOXED, r"(?s).*\\boxed\{-?\d{1,3}\}"),
        (Structure(choice=("1", "22"), after=" => "), r"(?s).* => (1|22)"),
        (Structure(json_schema={"enum": [5, 6]}, after="="), r"(?s)[^=]*=(5|6)"),
        (Structure(grammar='root ::= "." | "?"', after="\n\n"), r"(?s).*\n\n[.?]"),
    ],
    ids=lambda value: str(value.as_dict()) if isinstance(value, Structure) else "",
)
async def test_hot_draws_keep_to_their_structure(vllm_backend, structure, pattern):
    # A temperature at which the model alone writes nothing of the kind.
    drawn = await texts(vllm_backend, structure, max_tokens=400)
    assert all(re.fullmatch(pattern, text) for text in drawn), drawn
    assert len(set(drawn)) > 1


async def test_without_one_the_same_draws_look_otherwise(vllm_backend):
    streams = await asyncio.gather(*(decode(vllm_backend, ask(None, seed)) for seed in range(12)))
    assert not any(re.fullmatch(r"\d{3}-\d{2}", s.trajectory.text) for s in streams)


async def test_within_what_it_would_write_anyway_greedy_decoding_is_unchanged(vllm_backend):
    cold = Sampling(temperature=0.0)
    plain = await decode(vllm_backend, ask(None, sampling=cold))
    held = await decode(vllm_backend, ask(BOXED, sampling=cold))
    assert plain.trajectory.text.endswith("}")
    assert held.trajectory.text == plain.trajectory.text
    assert held.trajectory.segment.tokens == plain.trajectory.segment.tokens


async def test_structured_and_plain_requests_go_side_by_side(vllm_backend):
    digits = Structure(regex="[0-9]{5}")
    mixed = [ask(digits if seed % 2 else None, seed) for seed in range(24)]
    streams = await asyncio.gather(*(decode(vllm_backend, request) for request in mixed))
    for request, stream in zip(mixed, streams, strict=True):
        alone = await decode(vllm_backend, request)
        assert alone.trajectory.text == stream.trajectory.text
        held = re.fullmatch(r"\d{5}", stream.trajectory.text) is not None
        assert held == (request.structure is not None)


async def test_log_probabilities_are_shares_of_what_is_allowed(vllm_backend):
    first = {}
    for digit in "123":
        read, _ = await vllm_backend.read(PROBLEM, Trajectory.root(), Segment(digit))
        first[digit] = math.exp(read.logprobs[0])
    for seed in range(6):
        stream = await decode(vllm_backend, ask(Structure(regex="[123]"), seed, logprobs=0))
        share = first[stream.trajectory.text] / sum(first.values())
        assert stream.trajectory.segment.logprobs == pytest.approx([math.log(share)], abs=1e-4)


@pytest.mark.parametrize(
    ("structure", "why"),
    [
        (Structure(regex="[0-9"), r"structure\.regex cannot be used"),
        (Structure(regex="12\x00"), r"structure\.regex cannot be used"),
        (Structure(json_schema={"type": "number of things"}), r"structure\.json_schema cannot"),
        (Structure(json_schema={"$ref": "#/nowhere"}), r"structure\.json_schema cannot"),
        (Structure(json_schema={"type": "integer", "multipleOf": 3}), "not supported"),
        (Structure(grammar="root ::= missing"), r"structure\.grammar cannot be used"),
        (Structure(grammar="root ::= ["), r"structure\.grammar cannot be used"),
        (Structure(regex="(", after="="), r"cannot be used"),
        (Structure(choice=("yes", "no")), "no token that it may begin with"),
        (Structure(json_schema={"type": "object"}), "no token that it may begin with"),
        (Structure(regex="1", after="<eos>"), "a special token"),
        (Structure(grammar='start: "1"', after="="), "Lark"),
    ],
    ids=lambda value: str(value.as_dict()) if isinstance(value, Structure) else "",
)
async def test_what_cannot_be_held_is_refused_in_a_sentence(vllm_backend, structure, why):
    with pytest.raises(ConfigError, match=why) as caught:
        vllm_backend.check_structure(structure)
    assert "\n" not in caught.value.message
    before = vllm_backend.stats.steps
    with pytest.raises(ConfigError, match=why):
        await tts.solve("1+1=", strategy=tts.Greedy(), backend=vllm_backend, structure=structure)
    assert vllm_backend.stats.steps == before


async def test_a_dead_end_fails_alone(vllm_backend):
    """The first character can be written, the second cannot."""
    lost, found = await asyncio.gather(
        decode(vllm_backend, ask(Structure(regex="1[xyz]"))),
        decode(vllm_backend, ask(Structure(regex="1[0-9]"))),
        return_exceptions=True,
    )
    assert isinstance(lost, BackendError) and "cannot go on" in lost.message
    assert re.fullmatch(r"1\d", found.trajectory.text)
    assert vllm_backend.stats.restarts == 0


async def test_a_continuation_and_stop_strings_are_refused(vllm_backend):
    node = Trajectory.root().extend(Segment("12"), child=0, clock=2)
    with pytest.raises(ConfigError, match="begin anew"):
        await decode(vllm_backend, ask(BOXED, trajectory=node))
    with pytest.raises(ConfigError, match="stop strings"):
        await decode(vllm_backend, ask(BOXED, stop=("\n\n",)))


async def test_votes_over_structured_answers(vllm_backend):
    schema = {"type": "integer", "minimum": 0, "maximum": 99}
    result = await tts.solve(
        "43+25=",
        strategy=tts.SelfConsistency(n=8),
        backend=vllm_backend,
        answers=JsonAnswers(),
        structure=Structure(json_schema=schema, after="\\boxed{"),
        max_tokens=150,
    )
    assert len(result.candidates) == 8
    for candidate in result.candidates:
        value = json.loads(candidate.trajectory.text.rpartition("\\boxed{")[2])
        assert 0 <= value <= 99


async def test_a_replay_cache_tells_structures_apart_and_continues_none(vllm_backend, tmp_path):
    short, other = Structure(regex="[0-9]{6}"), Structure(regex="[0-4]{6}")
    replay = ReplayBackend(vllm_backend, tmp_path)
    cut = await decode(replay, ask(short, max_tokens=3))
    whole = await decode(replay, ask(short, max_tokens=20))
    assert cut.trajectory.finish == "length"
    assert whole.trajectory.text.startswith(cut.trajectory.text)
    assert re.fullmatch(r"\d{6}", whole.trajectory.text)
    assert replay.stats.partial_hits == 0
    again = await decode(replay, ask(short, max_tokens=20))
    assert again.trajectory.text == whole.trajectory.text
    assert replay.stats.hits == 1
    assert re.fullmatch(r"[0-4]{6}", (await decode(replay, ask(other))).trajectory.text)
    plain = await decode(replay, ask(None))
    assert not re.fullmatch(r"\d{6}", plain.trajectory.text)
    replay.archive.close()


def test_the_identity_of_a_model_does_not_depend_on_the_grammars(vllm_backend):
    assert "structured_outputs_config" in vllm_backend.engine.config.arguments
    assert "structured" not in json.dumps(vllm_backend.identity())


def test_other_libraries_of_grammars_are_another_engine():
    from tts.backends.vllm import VLLMBackend

    chosen = {"structured_outputs_config": {"backend": "guidance"}}
    backend = VLLMBackend(str(BUNDLED / "mini-reasoner"), {"extra": chosen})
    assert "guidance" in json.dumps(backend.identity())
    backend.check_structure(Structure(regex="[0-9"))  # the engine has the last word
