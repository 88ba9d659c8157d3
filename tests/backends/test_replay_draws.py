"""The replay cache: what a draw is, and that none of its tokens is paid for twice."""

from __future__ import annotations

import tempfile
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.backends.letters import GREEDY, LETTERS, PROBLEM, Cut, ask, decode, letters, nominal
from tts.backends.arithmetic import simulated_arithmetic
from tts.backends.replay import ReplayBackend
from tts.backends.simulated import SimulatedBackend, Step
from tts.errors import BackendError
from tts.types import Capability, Problem, Sampling, Segment, Trajectory


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


# --- what a draw is ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "hit"),
    [
        ({"child": 3}, True),
        ({"watch": True}, True),
        ({"max_tokens": 900}, True),
        ({"seed": 2}, False),
        ({"sampling": Sampling(top_p=0.9)}, False),
        ({"stop": ("\n",)}, False),
        ({"problem": Problem("p", prompt="another")}, False),
        ({"problem": Problem("q", prompt=PROBLEM.prompt)}, True),
        ({"problem": Problem.chat("p", PROBLEM.prompt)}, False),
        (
            {"trajectory": Trajectory.root().extend(Segment("x"), child=0, clock=0)},
            False,
        ),
    ],
)
async def test_what_a_draw_depends_on(other, hit, folder):
    async with ReplayBackend(Cut(), folder) as backend:
        await decode(backend, ask())
        await decode(backend, replace(ask(), **other))
        assert backend.stats.hits == hit


async def test_another_model_shares_nothing(folder):
    for accuracy, misses in ((0.5, 1), (0.6, 1), (0.5, 0)):
        async with ReplayBackend(simulated_arithmetic(accuracy), folder) as backend:
            await decode(backend, ask())
            assert backend.stats.misses == misses


async def test_greedy_needs_no_seed_and_a_draw_without_one_is_not_kept(folder):
    async with ReplayBackend(Cut(), folder) as backend:
        for seed in (1, 2, None):
            await decode(backend, ask(sampling=GREEDY, seed=seed, child=seed or 0))
        assert (backend.stats.hits, backend.stats.misses) == (2, 1)
        for _ in range(2):
            await decode(backend, ask(seed=None))
        assert (backend.stats.hits, backend.stats.misses) == (2, 3)


async def test_detail_serves_less_and_is_replaced_by_more(folder):
    class Detailed(Cut):
        def open(self, request):
            return replaced(super().open(request), request)

    def replaced(stream, request):
        plain = type(stream).trajectory.fget

        class Stream(type(stream)):
            __slots__ = ()

            @property
            def trajectory(self):
                node = plain(self)
                k, n = request.logprobs, len(node.segment.text)
                top = tuple({i: -float(i) for i in range(k)} for _ in range(n)) if k else None
                some = None if k is None else (-0.5,) * n
                return replace(node, segment=replace(node.segment, logprobs=some, top_logprobs=top))

        stream.__class__ = Stream
        return stream

    inner = Detailed()
    async with ReplayBackend(inner, folder) as backend:
        for asked, misses in ((None, 1), (0, 2), (None, 2), (3, 3), (2, 3), (0, 3), (4, 4)):
            stream, _ = await decode(backend, ask(logprobs=asked))
            segment = stream.trajectory.segment
            assert backend.stats.misses == misses
            if asked is not None:
                assert len(segment.logprobs) == LETTERS
            assert (segment.top_logprobs and len(segment.top_logprobs[0])) == (asked or None)
        # What continues a detailed entry is as detailed, or it would have to be asked for again.
        await decode(backend, ask(seed=7, logprobs=2, max_tokens=10))
        await decode(backend, ask(seed=7))
        assert inner.asked[-1].logprobs == 2
        stream, _ = await decode(backend, ask(seed=7, logprobs=1))
        assert len(stream.trajectory.segment.top_logprobs) == LETTERS
        assert backend.stats.misses == 5


# --- caps, leaving, continuing ----------------------------------------------------------------

CAPS = st.integers(1, LETTERS + 5)
READS = st.tuples(CAPS, st.booleans(), st.none() | st.integers(0, 8))


@settings(max_examples=150, deadline=None)
@given(st.lists(READS, min_size=1, max_size=6), st.booleans())
async def test_any_reads_of_a_draw_pay_each_token_once(reads, continues):
    offers = {Capability.LOGPROBS, Capability.SEEDS, *[Capability.CONTINUATION] * continues}
    inner = Cut(capabilities=frozenset(offers))
    answers = {}
    with tempfile.TemporaryDirectory() as folder:
        async with ReplayBackend(inner, folder) as backend:
            for cap, watch, leave in reads:
                before = inner.generated
                stream, chunks = await decode(backend, ask(max_tokens=cap, watch=watch), leave)
                paid = inner.generated - before
                check_read(stream, chunks, cap, paid)
                if stream.trajectory.finish != "abort":
                    # A request that was answered once is answered so for ever, and for nothing.
                    assert cap not in answers or paid == 0 or not continues
                    assert answers.setdefault(cap, stream.trajectory.text) == stream.trajectory.text
            assert backend.stats.paid.completion_tokens == inner.generated


def check_read(stream, chunks, cap, paid) -> None:
    """A token is a letter, so every count can be checked against the text."""
    usage, node = stream.usage, stream.trajectory
    assert usage.completion_tokens == len(node.text) == node.clock <= cap
    assert usage.completion_tokens - usage.replayed_tokens == paid
    assert nominal(usage) == SimulatedBackend(letters).info.usage(10, 0, len(node.text))
    assert len(node.segment.logprobs) == len(node.text)
    said = "".join(chunk.text for chunk in chunks)
    assert node.text.startswith(said)
    if chunks and chunks[-1].finish is not None:
        assert said == node.text
        assert len(said) == min(cap, LETTERS)
        assert node.finish == chunks[-1].finish == ("stop" if len(said) == LETTERS else "length")
    else:
        assert node.finish == "abort"


async def test_a_longer_request_continues_on_the_recorded_prefix(folder):
    inner = Cut()
    async with ReplayBackend(inner, folder) as backend:
        first, _ = await decode(backend, ask(max_tokens=15))
        longer, chunks = await decode(backend, ask(child=4, max_tokens=100))
        again, _ = await decode(backend, ask(child=4, max_tokens=100))
    assert [r.max_tokens for r in inner.asked] == [15, 85]
    rest = inner.asked[1]
    assert rest.trajectory.text == first.trajectory.text
    assert rest.seed not in (1, None)
    assert inner.generated == LETTERS
    assert len(chunks) == 1
    node = longer.trajectory
    assert (node.depth, node.finish, node.clock) == (1, "stop", LETTERS)
    assert longer.usage.replayed_tokens == 15
    assert nominal(longer.usage) == nominal(again.usage)
    assert again.trajectory.text == node.text
    assert again.trajectory.key == node.key


async def test_what_ends_inside_a_stop_string_is_asked_again(folder):
    def lines(problem, node, seed):
        return Step("a\n\nb\n\n", 6, final=False)

    inner = SimulatedBackend(lines)
    async with ReplayBackend(inner, folder) as backend:
        await decode(backend, ask(max_tokens=2, stop=("\n\n",)))
        stream, _ = await decode(backend, ask(max_tokens=50, stop=("\n\n",)))
    assert stream.usage.replayed_tokens == 0
    assert stream.trajectory.finish == "step"


async def test_a_watched_replay_comes_in_the_same_chunks(folder):
    async with ReplayBackend(Cut(), folder) as backend:
        _, first = await decode(backend, ask(watch=True))
        stream, second = await decode(backend, ask(watch=True))
        assert first == second and len(first) > 3
        assert stream.usage.replayed_tokens == LETTERS
        left, _ = await decode(backend, ask(watch=True), leave=2)
    size = len(first[0].text + first[1].text)
    assert left.usage.completion_tokens == left.trajectory.clock == size
    assert left.trajectory.finish == "abort"
    assert left.trajectory.text == stream.trajectory.text[:size]


async def test_a_stream_that_was_left_is_kept_and_continued(folder):
    inner = Cut()
    async with ReplayBackend(inner, folder) as backend:
        left, _ = await decode(backend, ask(watch=True), leave=3)
        part = inner.generated
        again, _ = await decode(backend, ask(watch=True), leave=3)
        assert again.trajectory.text == left.trajectory.text
        assert nominal(again.usage) == nominal(left.usage)
        assert inner.generated == part > 0
        whole, _ = await decode(backend, ask())
    assert whole.trajectory.text.startswith(left.trajectory.text)
    assert inner.generated == LETTERS


async def test_what_cannot_be_continued_is_asked_whole(folder):
    inner = Cut(capabilities=frozenset({Capability.SEEDS}))
    async with ReplayBackend(inner, folder) as backend:
        await decode(backend, ask(max_tokens=5))
        stream, _ = await decode(backend, ask(max_tokens=100))
        assert inner.generated == 5 + LETTERS
        assert stream.usage.replayed_tokens == 0
        await decode(backend, ask(max_tokens=100))
        assert inner.generated == 5 + LETTERS


async def test_what_was_left_uncounted_is_not_kept(folder):
    class Uncounted(Cut):
        def open(self, request):
            return uncounted(super().open(request))

    async with ReplayBackend(Uncounted(), folder) as backend:
        for misses in (1, 2):
            await decode(backend, ask(watch=True), leave=2)
            assert backend.stats.misses == misses
        await decode(backend, ask())
        await decode(backend, ask())
        assert (backend.stats.hits, backend.stats.misses) == (1, 3)


def uncounted(stream):
    """A stream without log-probabilities, so that its tokens cannot be counted."""
    plain = type(stream).trajectory.fget

    class Stream(type(stream)):
        __slots__ = ()

        @property
        def trajectory(self):
            node = plain(self)
            return replace(node, segment=replace(node.segment, logprobs=None))

    stream.__class__ = Stream
    return stream


async def test_a_head_that_cannot_be_cut_is_paid_once(folder):
    inner = Cut()
    async with ReplayBackend(inner, folder) as backend:
        await decode(backend, ask())
        for _ in range(2):
            stream, _ = await decode(backend, ask(max_tokens=7))
            assert stream.usage.completion_tokens == 7
        assert inner.generated == LETTERS + 7
        whole, _ = await decode(backend, ask())
        assert whole.trajectory.finish == "stop"


async def test_a_fault_is_not_recorded(folder):
    class Breaks(Cut):
        def open(self, request):
            stream = super().open(request)

            class Broken(type(stream)):
                __slots__ = ()

                async def __aiter__(self):
                    async for chunk in super().__aiter__():
                        yield chunk
                        raise BackendError("The backend failed.")

            stream.__class__ = Broken
            return stream

    async with ReplayBackend(Breaks(), folder) as backend:
        for misses in (1, 2):
            with pytest.raises(BackendError):
                await decode(backend, ask(watch=True))
            assert backend.stats.misses == misses
