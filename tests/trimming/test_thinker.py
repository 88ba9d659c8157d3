"""Watchers on a model that thinks, decoded by the real engine; and what its steps are worth."""

from __future__ import annotations

import pytest
import pytest_asyncio

import tts
from tests.engine_fixtures import other_peoples_warnings
from tts.analysis import Phrasing, Reader, read_perplexity
from tts.backends.replay import ReplayBackend
from tts.backends.vllm import VLLMBackend
from tts.evaluation.step_importance import Sampled, effects, weighed
from tts.tasks.mini import MiniTask
from tts.trimming import BudgetForcing, Deer, EndOfThinking, Loops, NoWait

pytestmark = pytest.mark.engine

THINKING = tts.Thinking(lead="\\boxed{", reflections=("Wait", "Alternatively"))
TASK = MiniTask(n_problems=24, split="validation", max_tokens=640)
MARKERS = ("Wait", "Alternatively")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def thinker():
    with other_peoples_warnings():
        backend = VLLMBackend("mini-thinker")
        await backend.start()
    yield backend
    with other_peoples_warnings():
        await backend.aclose()


async def solved(backend, *watchers, strategy=None, most=None, **options):
    """Results by problem, of the first problems or of all, at the run's temperature."""
    results = tts.solve_all(
        [item.problem for item in TASK][:most],
        strategy=strategy or tts.SelfConsistency(n=1),
        backend=backend,
        watchers=watchers,
        thinking=THINKING,
        answers=TASK.answers,
        max_tokens=TASK.max_tokens,
        **options,
    )
    found = {result.problem_id: result async for result in results}
    assert not [result.error for result in found.values() if result.error]
    return found


def chain(result):
    (candidate,) = result.candidates
    return candidate.trajectory


def thought(backend, node):
    """Token ids between the tags, as the engine had them."""
    ids = [token for s in node.segments() for token in (s.tokens or backend.text.ids_of(s.text))]
    start, end = backend.text.token_id("<think>"), backend.text.token_id("</think>")
    assert ids[0] == start
    return ids[1 : ids.index(end)] if end in ids else ids[1:]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def natural(thinker):
    """What is written when nobody watches."""
    return await solved(thinker)


@pytest.mark.parametrize("cap", [1, 13, 40, 100])
async def test_a_cap_holds_to_the_token(thinker, natural, cap):
    watched = await solved(thinker, BudgetForcing(cap))
    for name, result in watched.items():
        full, cut = thought(thinker, chain(natural[name])), thought(thinker, chain(result))
        assert cut == full[:cap]
        if len(full) > cap:
            assert any(s.origin == "injected" for s in chain(result).segments())
            assert result.usage.cached_tokens > 0 or cap < 16  # a block of the cache
        else:
            assert chain(result).text == chain(natural[name]).text


async def test_an_idle_watcher_changes_nothing(thinker, natural):
    watched = await solved(thinker, BudgetForcing(600), Loops())
    for name, result in watched.items():
        assert chain(result).text == chain(natural[name]).text
        assert result.usage.completion_tokens == natural[name].usage.completion_tokens
        assert "watching" not in result.details


@pytest.mark.parametrize("waits", [True, False])
async def test_trial_answers_end_the_thinking(thinker, natural, waits):
    deer = Deer(threshold=0.9, markers=MARKERS, waits=waits)
    watched = await solved(thinker, deer)
    closed = [r for r in watched.values() if any("close" == e["did"] for e in log(r))]
    assert closed
    for result in watched.values():
        assert not [e for e in log(result) if e["did"] == "fail"]
        assert chain(result).finish in ("stop", "length")
    for result in closed:
        ahead = chain(natural[result.problem_id]).text
        kept, tag, _ = chain(result).text.partition("</think>")
        assert tag
        assert ahead.startswith(kept) or not_the_first_marker(kept)


def not_the_first_marker(kept):
    """A chain that has waited goes on with another draw than the one that has not."""
    return any(marker in kept for marker in MARKERS)


def log(result):
    return result.details.get("watching", ())


async def test_the_text_is_the_same_however_fast_trials_are(thinker):
    deer = Deer(threshold=0.9, markers=MARKERS, waits=False)
    once, again = [await solved(thinker, deer, most=9, concurrency=side) for side in (9, 3)]
    assert {n: chain(r).text for n, r in once.items()} == {
        n: chain(r).text for n, r in again.items()
    }


async def test_words_that_are_forbidden_are_not_thought(thinker, natural):
    assert any("Wait" in chain(result).text for result in natural.values())
    watched = await solved(thinker, NoWait(words=("wait", "alternatively")))
    assert not any(m in chain(r).text for r in watched.values() for m in MARKERS)


async def test_an_end_that_is_likelier_comes_sooner(thinker, natural):
    watched = await solved(thinker, EndOfThinking(temperature=4.0))
    lengths = [sum(len(thought(thinker, chain(r))) for r in s.values()) for s in (watched, natural)]
    assert lengths[0] < lengths[1]


async def test_watched_votes(thinker):
    results = await solved(thinker, BudgetForcing(60), strategy=tts.SelfConsistency(n=4))
    for result in results.values():
        assert len(result.candidates) == 4
        for candidate in result.candidates:
            assert len(thought(thinker, candidate.trajectory)) <= 60


async def test_ends_taken_back_come_out_of_a_replay_cache_as_they_were(thinker, tmp_path):
    floor = BudgetForcing(minimum=80, wait="Wait")
    replayed = ReplayBackend(thinker, tmp_path)
    direct, first, second = [
        await solved(backend, floor, most=9) for backend in (thinker, replayed, replayed)
    ]
    replayed.archive.close()
    for name, result in direct.items():
        assert [e["did"] for e in log(result)] == ["insert"] * len(log(result))
        for other in (first[name], second[name]):
            assert chain(other).text == chain(result).text
            assert other.usage.completion_tokens == result.usage.completion_tokens
    assert any(log(result) for result in direct.values())
    assert all(r.usage.replayed_tokens == r.usage.completion_tokens for r in second.values())


async def test_plain_steps_help_more_than_doubts(thinker, natural):
    """The doubts of mini-thinker come after its answer."""
    gold = {item.problem.id: item.gold for item in TASK}
    right = [r for name, r in natural.items() if r.answer == gold[name]]
    assert len(right) > 6
    perplexity = read_perplexity(thinker, [Phrasing.of("\\boxed{{answer}}")], lambda _: None)
    found = await weighed(
        [Sampled("votes", r.problem_id, "right", chain(r).text, r.answer) for r in right],
        {item.problem.id: item.problem for item in TASK},
        Reader(THINKING),
        perplexity,
    )
    helps = {effect.step: effect.helps.mean for effect in effects(found)}
    assert helps["plain"] > helps["recheck"] + 0.1
