"""DeepConf: who votes, who is cut and where, what it costs, and that only confidence decides."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tts
from tts.backends.replay import ReplayBackend
from tts.backends.simulated import SimulatedBackend, Step, VirtualClock
from tts.errors import BackendError, CapabilityMissing, ConfigError
from tts.seeds import derive
from tts.signals.windows import groups, percentile, score_of
from tts.strategies import DeepConf
from tts.types import Capability, Problem, Published

PROBLEM = Problem("sure", prompt="Are you sure?")
ONE, TWO, NONE = "\\boxed{1}", "\\boxed{2}", "no idea"


@dataclass(frozen=True)
class Voice:
    """One answer: the confidence of each of its tokens, and what its last one says.

    Attributes:
        sure: Confidences.
        says: Text of the last token.
        seconds: For each token.
        early: Text of the first token.
    """

    sure: tuple[float, ...]
    says: str = ONE
    seconds: float = 1.0
    early: str = ""

    def lowest(self, size):
        return min(groups(self.sure, size))

    def cut_at(self, size, threshold):
        """Tokens after which it is left; None if it is not."""
        ends = range(size, len(self.sure) + 1)
        low = (e for e in ends if groups(self.sure[e - size : e], size)[0] < threshold)
        return next(low, None)


def flat(value, length, says=ONE, **how):
    return Voice((float(value),) * length, says, **how)


def choir(*voices: Voice) -> SimulatedBackend:
    """A backend whose `i`-th answer to `PROBLEM` is `voices[i]`, written token by token."""
    numbers = {derive(0, PROBLEM.id, 0, "", number): number for number in range(len(voices))}

    def simulate(problem, node, seed):
        written = len(node.segment.logprobs) if node.segment else 0
        number = int(node.text.split(":")[0]) if written else numbers[seed]
        voice, last = voices[number], written + 1 == len(voices[number].sure)
        text = "." if written else f"{number}:{voice.early}"
        top = {0: -voice.sure[written]}
        return Step(text + voice.says * last, 1, last, voice.seconds, top_logprobs=top)

    return SimulatedBackend(simulate, clock=VirtualClock())


async def sing(strategy, *voices: Voice, backend=None, **options):
    """The strategy's result on such answers, and the backend."""
    backend = backend or choir(*voices)
    options = {"max_tokens": 100, **options}
    return await tts.solve(PROBLEM, strategy=strategy, backend=backend, **options), backend


def numbers(result) -> list[int]:
    return [int(c.trajectory.text.split(":")[0]) for c in result.candidates]


voices = st.lists(
    st.builds(
        Voice,
        st.lists(st.integers(0, 8).map(float), min_size=1, max_size=9).map(tuple),
        st.sampled_from([ONE, TWO, NONE]),
        st.sampled_from([0.5, 1, 3]),
    ),
    min_size=1,
    max_size=7,
)
keeps = st.sampled_from([0.1, 0.5, 0.9, 1.0])


def threshold_of(voices, keep, size):
    known = [voice.lowest(size) for voice in voices if voice.says != NONE]
    return percentile(known, 1 - keep) if known else float("-inf")


def winners(weights):
    """The answers that a vote with these (answer, weight) may end with."""
    sums = Counter()
    for says, weight in weights:
        sums[says] += weight
    return {says for says in sums if sums[says] == pytest.approx(max(sums.values()))} or {None}


def said(result):
    return result.answer and f"\\boxed{{{result.answer}}}"


@settings(max_examples=150, deadline=None)
@given(voices=voices, data=st.data(), keep=keeps, size=st.integers(1, 5))
async def test_online_it_is_the_vote_of_all_above_the_threshold_at_a_known_cost(
    voices, data, keep, size
):
    n, warmup = len(voices), data.draw(st.integers(1, len(voices)), label="warmup")
    strategy = DeepConf(n=n, warmup=warmup, keep=keep, window=size, top=1)
    result, backend = await sing(strategy, *voices)
    threshold = threshold_of(voices[:warmup], keep, size)
    late = dict(enumerate(voices[warmup:], warmup))
    cut = {i: at for i, voice in late.items() if (at := voice.cut_at(size, threshold))}
    assert result.details["cut"] == sorted(cut)
    assert numbers(result) == [i for i in range(n) if i not in cut]
    # Each is generated to its end, or to the token that brings the first low window.
    cost = [cut.get(i, len(voice.sure)) for i, voice in enumerate(voices)]
    assert result.usage.completion_tokens == backend.generated == sum(cost)
    first, rest = max(cost[:warmup]), max(cost[warmup:], default=0)
    assert result.usage.sequential_tokens == first + rest
    votes = [(v.says, v.lowest(size)) for v in voices if v.says != NONE]
    assert said(result) in winners([vote for vote in votes if vote[1] >= threshold])
    assert backend.open_streams == 0


@settings(max_examples=60, deadline=None)
@given(voices=voices, keep=keeps, size=st.integers(1, 5), weighted=st.booleans())
async def test_with_nothing_but_a_warmup_online_is_offline(voices, keep, size, weighted):
    how = {"n": len(voices), "keep": keep, "window": size, "top": 1, "weighted": weighted}
    online, _ = await sing(DeepConf(warmup=len(voices), **how), *voices)
    offline, _ = await sing(DeepConf(mode="offline", **how), *voices)
    assert online.answer == offline.answer
    assert online.details == offline.details
    assert online.usage.completion_tokens == offline.usage.completion_tokens


@settings(max_examples=60, deadline=None)
@given(voices=voices, keep=keeps, measure=st.sampled_from(["mean", "tail", "bottom", "lowest"]))
async def test_offline_the_best_vote(voices, keep, measure):
    strategy = DeepConf(mode="offline", n=len(voices), keep=keep, window=3, top=1, score=measure)
    result, backend = await sing(strategy, *voices)
    scores = [score_of(voice.sure, measure, 3) for voice in voices]
    assert result.details["confidence"] == scores
    known = [score for voice, score in zip(voices, scores, strict=True) if voice.says != NONE]
    least = percentile(known, 1 - keep) if known else 0
    votes = [(v.says, s) for v, s in zip(voices, scores, strict=True) if s >= least]
    assert said(result) in winners([vote for vote in votes if vote[0] != NONE])
    assert backend.generated == sum(len(voice.sure) for voice in voices)


async def test_by_hand():
    # The majority says 2, and the sure ones say 1. The 60th percentile of 1, 1, 1, 6, 7 lies two
    # fifths of the way from 1 to 6.
    many = [flat(1, 4, TWO), flat(6, 4), flat(1, 4, TWO), flat(7, 4), flat(1, 4, TWO)]
    how = {"mode": "offline", "n": 5, "window": 2, "top": 1}
    for keep, weighted, answer in ((1.0, False, "2"), (1.0, True, "1"), (0.4, False, "1")):
        result, _ = await sing(DeepConf(keep=keep, weighted=weighted, **how), *many)
        assert (result.answer, keep, weighted) == (answer, keep, weighted)
    assert result.details == {
        "threshold": pytest.approx(3),
        "confidence": [1, 6, 1, 7, 1],
        "cut": [],
    }


async def test_a_trace_that_was_cut_is_aborted_and_never_read():
    # The warm-up sets the threshold 4. The third shows an answer at once, and then falls below.
    doubtful = Voice((9, 9, 9, 1, 1, 9, 9), TWO, early=TWO)
    strategy = DeepConf(n=4, warmup=2, keep=1.0, window=2, top=1)
    result, backend = await sing(strategy, flat(4, 3), flat(5, 6), doubtful, doubtful)
    assert result.details["threshold"] == 4
    assert (result.details["cut"], numbers(result)) == ([2, 3], [0, 1])
    assert [(leaf.finish, leaf.clock) for leaf in result.tree] == [
        ("stop", 3), ("stop", 6), ("abort", 6 + 5), ("abort", 6 + 5),
    ]  # fmt: skip
    assert result.usage.sequential_tokens == 6 + 5
    assert result.answer == "1"
    assert result.usage.completion_tokens == backend.generated == 3 + 6 + 5 + 5


async def test_what_falls_with_its_last_token_is_not_read_either():
    strategy = DeepConf(n=2, warmup=1, keep=1.0, window=2, top=1)
    result, _ = await sing(strategy, flat(4, 3), Voice((9, 9, 9, 0, 0), TWO))
    assert (result.details["cut"], numbers(result)) == ([1], [0])
    result, _ = await sing(strategy, flat(4, 3), Voice((9, 9, 9, 9, 0), TWO))
    assert (result.details["cut"], numbers(result)) == ([], [0, 1])


async def test_one_shorter_than_a_window_runs_to_its_end_and_is_judged_there():
    strategy = DeepConf(n=3, warmup=1, keep=1.0, window=4, top=1)
    sure, unsure = flat(9, 3, TWO), flat(3, 3, TWO)
    for voice, answer in ((sure, "2"), (unsure, "1")):
        result, _ = await sing(strategy, flat(4, 6), voice, voice)
        assert (result.details["cut"], numbers(result), result.answer) == ([], [0, 1, 2], answer)


async def test_a_threshold_needs_an_answer():
    strategy = DeepConf(n=3, warmup=1, window=2, top=1)
    result, _ = await sing(strategy, flat(9, 4, NONE), flat(0, 5, TWO), flat(1, 5, TWO))
    assert (result.details["threshold"], result.details["cut"]) == (None, [])
    assert result.answer == "2"


async def test_an_answer_that_is_agreed_on_ends_what_is_under_way():
    # The warm-up is divided. When the third has come, 1 has 10 of 15 votes, and 15 of 20 with the
    # fourth; the fifth still lacks the token of that instant.
    voices = [flat(5, 3, ONE), flat(5, 3, TWO), flat(5, 4), flat(5, 6), flat(5, 30, TWO)]
    strategy = DeepConf(n=5, warmup=2, window=2, top=1, consensus=0.7)
    result, backend = await sing(strategy, *voices)
    assert (result.answer, numbers(result), result.details["arrived"]) == (
        "1",
        [0, 1, 2, 3],
        [2, 3],
    )
    assert result.usage.completion_tokens == backend.generated == 3 + 3 + 4 + 6 + 5
    assert backend.open_streams == 0
    agreed = [flat(5, 3), flat(5, 3), flat(5, 4), flat(5, 6), flat(5, 30, TWO)]
    result, backend = await sing(strategy, *agreed)
    assert (backend.generated, numbers(result)) == (6, [0, 1])


@settings(max_examples=60, deadline=None)
@given(voices=voices, data=st.data(), consensus=st.sampled_from([0.4, 0.7, 1.0]))
async def test_what_had_arrived_can_be_replayed_at_other_speeds(voices, data, consensus):
    warmup = data.draw(st.integers(1, len(voices)), label="warmup")
    strategy = DeepConf(n=len(voices), warmup=warmup, window=2, top=1, consensus=consensus)
    then, _ = await sing(strategy, *voices)
    speeds = st.sampled_from([0.3, 1, 4])
    other = [replace(voice, seconds=data.draw(speeds)) for voice in voices]
    again, _ = await sing(strategy.replaying([then]), *other)
    assert (numbers(again), again.answer) == (numbers(then), then.answer)
    assert sorted(again.details["arrived"]) == sorted(then.details["arrived"])


async def test_from_a_replay_cache_it_cuts_where_it_did(tmp_path):
    voices = [flat(4, 3), flat(5, 6), Voice((9, 9, 9, 1, 1, 9, 9), TWO), flat(8, 5)]
    strategy = DeepConf(n=4, warmup=2, keep=1.0, window=2, top=1)
    inner = choir(*voices)
    results = []
    for _ in range(2):
        async with ReplayBackend(inner, tmp_path) as backend:
            results.append((await sing(strategy, backend=backend))[0])
    first, second = results
    assert inner.generated == first.usage.completion_tokens == second.usage.replayed_tokens
    assert first.details == second.details
    assert first.details["cut"] == [2]
    assert first.answer == second.answer


async def test_a_budget_that_runs_out_ends_with_the_vote_of_what_there_is():
    voices = [flat(5, 10), flat(5, 10), flat(5, 10, TWO), flat(5, 10, TWO)]
    options = {"max_tokens": 10, "budget": tts.Budget(completion_tokens=20)}
    for strategy in (DeepConf(n=4, warmup=2, top=1), DeepConf(mode="offline", n=4, top=1)):
        result, backend = await sing(strategy, *voices, **options)
        assert (result.status, result.answer) == ("exhausted", "1")
        assert backend.generated == 20


async def test_the_best_so_far_is_published():
    events = []
    strategy = DeepConf(n=3, warmup=1, window=2, top=1, keep=1.0)
    await sing(strategy, flat(2, 3), flat(9, 4, TWO), flat(9, 6, TWO), on_event=events.append)
    published = [e.candidate.answer.text for e in events if isinstance(e, Published)]
    assert published == ["1", "2"]


async def test_a_backend_without_log_probabilities_is_named_before_a_token_is_spent():
    backend = choir(flat(1, 3))
    backend.capabilities = backend.capabilities - {Capability.LOGPROBS}
    with pytest.raises(CapabilityMissing, match="DeepConf needs 'logprobs'"):
        await sing(DeepConf(), backend=backend)
    assert backend.generated == 0


async def test_a_backend_that_keeps_them_to_itself_is_at_fault():
    class Silent(SimulatedBackend):
        def open(self, request):
            return super().open(replace(request, logprobs=0))

    backend = Silent(choir(flat(1, 3)).simulate)
    with pytest.raises(BackendError, match="no log-probabilities of the likeliest"):
        await sing(DeepConf(n=1, warmup=1), backend=backend)


@pytest.mark.parametrize(
    "fields,message",
    [
        ({"n": 0}, r"strategy\.n is 0"),
        ({"warmup": 0}, r"strategy\.warmup is 0; it must be at least 1"),
        ({"n": 4, "warmup": 5}, r"strategy\.warmup is 5, and strategy\.n is 4"),
        ({"window": 0}, r"strategy\.window is 0"),
        ({"top": 0}, r"strategy\.top is 0"),
        ({"keep": 0}, r"strategy\.keep is 0; it must lie in \(0, 1\]"),
        ({"keep": 90}, r"strategy\.keep is 90"),
        ({"consensus": 1.5}, r"strategy\.consensus is 1\.5"),
        ({"mode": "later"}, r"strategy\.mode is 'later'"),
        ({"mode": "offline", "score": "luck"}, r"strategy\.score is 'luck'"),
        ({"score": "tail"}, r"online answers are cut by their lowest group"),
        ({"mode": "offline", "consensus": 0.9}, r"offline all answers are drawn"),
    ],
)
def test_a_vote_that_is_none_is_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        DeepConf(**fields)


@pytest.mark.engine
async def test_the_real_engine_cuts_what_offline_falls_below_the_threshold(vllm_backend):
    question, size = "12+7*3-5+40-6*2+31-8=", 8
    options = {"backend": vllm_backend, "max_tokens": 400, "seed": 1}
    how = {"n": 8, "window": size, "keep": 0.5}
    whole = await tts.solve(question, strategy=DeepConf(mode="offline", **how), **options)
    confidence = whole.details["confidence"]
    lengths = [len(c.trajectory.segment.tokens) for c in whole.candidates]
    before = vllm_backend.stats.generation_tokens
    online = await tts.solve(question, strategy=DeepConf(warmup=4, **how), **options)
    assert vllm_backend.stats.generation_tokens - before == online.usage.completion_tokens
    threshold = online.details["threshold"]
    known = [c for c, kept in zip(confidence, whole.candidates[:4], strict=False) if kept.answer]
    assert threshold == pytest.approx(percentile(known, 0.5), abs=1e-3)
    assert min(abs(c - threshold) for c in confidence[4:]) > 1e-3, "choose another question"
    below = [i for i in range(4, 8) if confidence[i] < threshold and lengths[i] >= size]
    assert online.details["cut"] == below
    kept = [confidence[i] for i in range(8) if i not in below]
    assert online.details["confidence"] == pytest.approx(kept, abs=1e-3)
    assert below
    assert online.usage.completion_tokens < whole.usage.completion_tokens
