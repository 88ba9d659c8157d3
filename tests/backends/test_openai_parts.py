"""The pure parts of the backend for servers: limits, routes, waits, secrets, words and accounts."""

from __future__ import annotations

import asyncio
import math
import random
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from asyncio_throttle import throttler as throttling
from hypothesis import given
from hypothesis import strategies as st

from tts.backends._openai.batch import split
from tts.backends._openai.draft import Draft, stop_end
from tts.backends._openai.limits import Gate, Limits, TokenBucket, read_settings, windows
from tts.backends._openai.prompts import PromptBounds, size
from tts.backends._openai.replicas import Replica, Router
from tts.backends._openai.retry import back_off, retry_after, status_fault
from tts.backends._openai.secrets import NO_KEY, Scrubber, check_url, read_key
from tts.backends._openai.settings import host_of
from tts.backends._openai.wire import Ask, Dialect, Piece, body, piece
from tts.backends.prices import Prices
from tts.backends.simulated import VirtualClock
from tts.errors import BackendError, ConfigError, ContextTooLong, EndpointDown
from tts.types import Message, Problem, Request, Sampling, Segment, Trajectory

PLAIN = Problem("p", prompt="1+1=")
CHAT = Problem.chat("c", "1+1=", system="Add.")


def ask(problem=PLAIN, **how):
    return Request(problem, Trajectory.root(), **{"max_tokens": 10, **how})


# --- limits -------------------------------------------------------------------------------------


@given(st.floats(0.01, 5000))
def test_a_rate_is_cut_into_windows_that_keep_it(rate):
    count, period = windows(rate)
    assert count >= 1
    assert count / period == pytest.approx(rate)
    assert count == 1 or period <= 0.2 + 1e-9


@pytest.mark.parametrize("rate", [0.5, 3, 7.5, 40, 200])
async def test_requests_per_second_are_kept_in_any_window(rate, monkeypatch):
    clock = VirtualClock()

    class Time:
        monotonic = staticmethod(clock)

    class Sleep:
        sleep = staticmethod(clock.sleep)

    monkeypatch.setattr(throttling, "time", Time)
    monkeypatch.setattr(throttling, "asyncio", Sleep)
    gate = Gate(Limits(requests_per_second=rate), clock, clock.sleep)
    times = []

    async def one():
        await gate.admit(1)
        times.append(clock())

    count, period = windows(rate)
    amount = 4 * count + 3
    await asyncio.gather(*(one() for _ in range(amount)))
    assert times == sorted(times)
    gaps = [later - sooner for sooner, later in zip(times, times[count:], strict=False)]
    assert all(gap > period - 1e-9 for gap in gaps)
    # Nor is it much slower than it may be: a look every two milliseconds.
    assert times[-1] <= (amount - 1) // count * (period + 0.005)


@given(st.lists(st.tuples(st.integers(1, 300), st.floats(0, 20)), max_size=40))
def test_the_bucket_never_gives_more_than_a_minute_and_what_came_since(asks):
    now, taken, bucket = 0.0, 0, TokenBucket(120, 0.0)
    for tokens, pause in asks:
        now += pause
        wait = bucket.take(tokens, now)
        if wait:
            assert bucket.take(tokens, now + wait * 0.99) > 0
            now += wait + 1e-6
            assert bucket.take(tokens, now) == 0
        taken += tokens
        # The last one may be larger than a whole minute's worth.
        assert taken - max(0, tokens - 120) <= 120 + 2 * now + 1e-3


def test_what_a_request_did_not_use_is_given_back():
    bucket = TokenBucket(100, 0.0)
    assert bucket.take(100, 0.0) == 0
    assert bucket.take(10, 0.0) == pytest.approx(6)
    bucket.give(40)
    assert bucket.take(40, 0.0) == 0
    bucket.give(1000)
    assert bucket.take(101, 0.0) == 0
    assert bucket.take(1, 0.0) > 0


async def test_tokens_per_minute_let_requests_pass_in_order():
    clock = VirtualClock()
    gate = Gate(Limits(tokens_per_minute=600), clock, clock.sleep)
    order = []

    async def one(name, tokens):
        await gate.admit(tokens)
        order.append((name, clock()))

    await asyncio.gather(one("a", 600), one("b", 300), one("c", 10))
    assert [name for name, _ in order] == ["a", "b", "c"]
    assert [when for _, when in order] == pytest.approx([0, 30, 31], abs=0.3)


@pytest.mark.parametrize(
    "wrong",
    [{"requests_per_second": 0}, {"tokens_per_minute": 0}, {"in_flight": 0}, {"in_fligth": 3}],
)
def test_wrong_limits_are_named(wrong):
    with pytest.raises(ConfigError, match=r"backend.limits"):
        read_settings(Limits, wrong, "backend.limits")
    assert read_settings(Limits, None, "backend.limits") == Limits()
    with pytest.raises(ConfigError, match=r"prices.cached"):
        Prices(cached=-1)


# --- routes -------------------------------------------------------------------------------------


def routes(n=2):
    return Router([Replica(f"http://r{i}") for i in range(n)])


def fail(router, key, now, times=1):
    for _ in range(times):
        router.ended(router.visit(key, now), well=False, now=now)


def test_the_least_loaded_is_asked_and_a_problem_stays_where_it_was():
    router = routes(3)
    homes = [router.visit(i, 0.0).replica for i in range(3)]
    assert {r.url for r in homes} == {"http://r0", "http://r1", "http://r2"}
    assert router.visit(0, 0.0).replica is homes[0]
    assert router.visit(0, 0.0).replica is homes[0]


@given(st.lists(st.integers(0, 3), max_size=120))
def test_no_replica_is_much_busier_than_another(keys):
    router = routes(2)
    for key in keys:
        least = min(r.load for r in router.replicas)
        chosen = router.visit(key, 0.0).replica
        assert chosen.load - 1 <= 2 + 1.25 * least
    assert sum(r.load for r in router.replicas) == len(keys)


def test_three_faults_in_a_row_eject_and_a_trial_decides():
    router = routes(2)
    first, second = router.replicas
    second.load = 100
    fail(router, "k", 0.0, times=2)
    router.ended(router.visit("k", 0.0), well=True, now=0.0)
    fail(router, "k", 0.0, times=2)
    assert first.closed_until is None
    fail(router, "k", 0.0)
    assert (first.closed_until, router.ejections, router.down_since) == (2.0, 1, None)
    assert router.visit("k", 1.9).replica is second
    trial = router.visit("k", 2.0)
    assert trial.trial and trial.replica is first
    assert router.visit("k", 2.0).replica is second  # one tries, the others do not
    router.ended(trial, well=False, now=2.5)
    assert first.closed_until == 2.5 + 4
    trial = router.visit("other", 6.5)
    router.ended(trial, well=True, now=7.0)
    assert first.closed_until is None and first.cool_down == 0
    assert router.ejections == 1


def test_cool_downs_double_up_to_a_minute_and_the_time_without_any_is_kept():
    router, now, waits = routes(1), 10.0, []
    fail(router, "k", now, times=3)
    assert router.down_since == 10.0
    for _ in range(8):
        assert router.visit("k", now) is None
        waits.append(router.wait(now))
        now += waits[-1]
        fail(router, "k", now)
    assert waits == [2, 4, 8, 16, 32, 60, 60, 60]
    assert router.down_since == 10.0
    now += 60
    router.ended(router.visit("k", now), well=True, now=now)
    assert router.down_since is None


def test_a_trial_that_lasts_lets_others_in_and_one_that_is_left_says_nothing():
    router = routes(1)
    fail(router, "k", 0.0, times=3)
    trial = router.visit("k", 2.0)
    assert router.visit("k", 6.9) is None
    assert router.wait(6.0) == 1.0
    assert not router.visit("k", 7.0).trial
    router.ended(trial, well=None, now=8.0)
    assert router.visit("k", 8.0).trial


def test_the_faults_of_requests_that_were_under_way_do_not_add_up():
    router = routes(1)
    visits = [router.visit(i, 0.0) for i in range(20)]
    for visit in visits:
        router.ended(visit, well=False, now=0.0)
    assert router.replicas[0].cool_down == 2.0
    assert router.ejections == 1
    assert router.replicas[0].load == 0


# --- waits and faults ---------------------------------------------------------------------------


@given(st.integers(1, 100), st.none() | st.floats(0, 1000), st.integers())
def test_a_wait_is_at_least_what_was_asked_for_and_bounded(failures, asked, seed):
    wait = back_off(failures, asked, 300.0, random.Random(seed))
    assert wait <= 300
    assert wait >= min(300, asked or 0)
    if asked is None:
        assert wait <= min(30, 0.5 * 2 ** (failures - 1))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after": format_datetime(datetime.fromtimestamp(1060, UTC), usegmt=True)}, 60),
        ({"retry-after": format_datetime(datetime.fromtimestamp(900, UTC), usegmt=True)}, 0),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read(headers, seconds):
    assert retry_after(headers, 1000.0) == seconds


@pytest.mark.parametrize(
    ("status", "code", "kind", "error"),
    [
        (401, "", "hopeless", EndpointDown),
        (403, "", "hopeless", EndpointDown),
        (404, "", "hopeless", EndpointDown),
        (429, "insufficient_quota", "hopeless", EndpointDown),
        (429, "rate_limit", "busy", BackendError),
        (408, "", "busy", BackendError),
        (409, "", "busy", BackendError),
        (500, "", "down", BackendError),
        (503, "", "down", BackendError),
        (400, "context_length_exceeded", "context", ContextTooLong),
        (400, "", "refused", ConfigError),
        (422, "", "refused", ConfigError),
    ],
)
def test_a_status_is_a_fault_of_a_kind(status, code, kind, error):
    fault = status_fault(status, code, "said", {"retry-after": "3"}, 0.0)
    assert fault.kind == kind
    assert type(fault.error()) is error
    assert "said" in str(fault.error())
    assert (fault.retry_after == 3) == (kind in ("busy", "down"))
    assert fault.well == (kind != "down")


# --- secrets ------------------------------------------------------------------------------------


@given(
    st.text(alphabet="abcdefXYZ0123456789-_.", min_size=4, max_size=60),
    st.text(max_size=50),
    st.text(max_size=50),
)
def test_the_key_never_survives(key, before, after):
    said = Scrubber(key)(f"{before}{key}{after}")
    assert key not in said.replace("[secret]", "")


@pytest.mark.parametrize(
    "text",
    [
        "Incorrect API key provided: sk-proj-abc123.",
        "Authorization: Bearer tok_123.abc",
        "bearer tok_123.abc",
        "cannot reach https://user:tok_123.abc@host/v1",
    ],
)
def test_what_looks_like_a_key_is_taken_out(text):
    said = Scrubber(NO_KEY)(text)
    assert "[secret]" in said
    assert "abc" not in said


def test_messages_are_short_and_on_one_line():
    said = Scrubber(NO_KEY)("a\nb " + "x" * 10_000)
    assert said.startswith("a b x")
    assert len(said) < 600


def test_keys_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("SOME_KEY", " sk-1 \n")
    assert read_key("SOME_KEY") == "sk-1"
    monkeypatch.delenv("SOME_KEY")
    assert read_key("SOME_KEY") == NO_KEY
    monkeypatch.setenv("SOME_KEY", "sk-ü")
    with pytest.raises(ConfigError, match="SOME_KEY") as found:
        read_key("SOME_KEY")
    with pytest.raises(ConfigError) as found:
        read_key("sk-the-key-itself")
    assert "sk-" not in str(found.value)
    assert "sk-" not in str(found.value)


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8000",
        "ftp://x/v1",
        "http:///v1",
        "http://h/v1?key=x",
        "http://u:p@h/v1",
        "http://h:x/",
    ],
)
def test_addresses_that_cannot_be_used_are_refused_without_repeating_them(url):
    with pytest.raises(ConfigError, match=r"backend\.base_url") as found:
        check_url(url)
    assert url not in str(found.value)


def test_addresses_of_this_machine_are_one_place():
    assert check_url("http://h:1/v1/") == "http://h:1/v1"
    assert host_of("http://127.0.0.1:1/v1") == host_of("http://localhost:2/v1") == "localhost"
    assert host_of("https://h:1/v1") == "h:1"


# --- words --------------------------------------------------------------------------------------

VLLM = Dialect("m", vllm=True, ids=True, seeds=True)
OTHER = Dialect("m", vllm=False, ids=False, seeds=False, limit="max_completion_tokens")


def test_other_servers_are_told_nothing_that_only_vllm_knows():
    said = body(OTHER, ask(CHAT, seed=3, logprobs=0), Ask("chat", "", 10, 3, stream=True, n=2))
    assert said == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Add."},
            {"role": "user", "content": "1+1="},
        ],
        "max_completion_tokens": 10,
        "temperature": 0.8,
        "top_p": 1.0,
        "n": 2,
        "stream": True,
        "stream_options": {"include_usage": True},
        "logprobs": True,
        "top_logprobs": 0,
    }


def test_vllm_is_told_everything_in_ids():
    request = ask(sampling=Sampling(0.5, 0.9, 7, 0.1), stop=("a",), seed=3, logprobs=2)
    said = body(VLLM, request, Ask("completions", [1, 2], 10, 3, ("a",), (5,)))
    assert said["prompt"] == [1, 2]
    assert (said["top_k"], said["min_p"], said["seed"], said["logprobs"]) == (7, 0.1, 3, 2)
    assert said["stop"] == ["a"] and said["include_stop_str_in_output"]
    assert said["stop_token_ids"] == [5]
    assert said["return_token_ids"] and said["return_tokens_as_token_ids"]
    assert "stream" not in said and "n" not in said


def test_a_chat_is_continued_as_its_last_message():
    said = body(VLLM, ask(CHAT), Ask("chat", "so far", 10))
    assert said["messages"][-1] == {"role": "assistant", "content": "so far"}
    assert said["continue_final_message"] is True
    assert said["add_generation_prompt"] is False
    assert len(CHAT.messages) == 2


def test_log_probabilities_are_read_from_both_interfaces():
    found = {"token_logprobs": [-1.0], "top_logprobs": [{"token_id:5": -1.0, "token_id:2": -0.5}]}
    read = piece({"text": "x", "token_ids": [5], "logprobs": found}, 1, ids=True)
    assert (read.tokens, read.logprobs, read.tops) == ((5,), (-1.0,), ({2: -0.5},))
    content = {"content": [{"token": "x", "logprob": -2.0, "top_logprobs": []}]}
    read = piece({"message": {"content": "x"}, "logprobs": content}, 0, ids=False)
    assert (read.text, read.logprobs) == ("x", (-2.0,))


def test_a_refusal_is_no_answer():
    with pytest.raises(BackendError, match="refused"):
        piece({"message": {"content": None, "refusal": "I will not."}}, None, ids=False)


# --- drafts and accounts ------------------------------------------------------------------------


def draft(request=None, **how):
    return Draft(request or ask(), **{"ids": False, "count": size, **how})


def test_thoughts_are_a_part_of_the_text():
    found = draft()
    for part in (Piece(thought="hm"), Piece(thought=" so"), Piece("42"), Piece(finish="stop")):
        found.add(part)
    assert found.text == "<think>hm so</think>42"
    whole = draft()
    whole.add(Piece("42", thought="hm so", finish="stop"))
    assert whole.text == found.text
    cut = draft()
    cut.add(Piece(thought="hm", finish="length"))
    assert cut.text == "<think>hm"


@pytest.mark.parametrize("reason", ["content_filter", "tool_calls", "abort", "error"])
def test_an_end_that_is_no_end_is_an_error(reason):
    with pytest.raises(BackendError, match=reason):
        draft().add(Piece("x", finish=reason))


@given(
    st.text(alphabet="ab", max_size=30),
    st.lists(st.text(alphabet="ab", min_size=1, max_size=4), min_size=1, max_size=3),
    st.lists(st.integers(1, 6), max_size=30),
)
def test_a_stop_string_is_found_as_soon_as_it_is_spelled_out(text, stop, sizes):
    naive = next(
        (end for end in range(len(text) + 1) if any(text[:end].endswith(s) for s in stop)), None
    )
    assert stop_end(text, stop) == naive
    found, rest = draft(ask(stop=tuple(stop)), scan=True), text
    for length in [*sizes, len(text)]:
        if found.finish is None and rest:
            found.add(Piece(rest[:length]))
            rest = rest[length:]
    assert found.finish == (None if naive is None else "step")
    assert found.text == text[:naive]


def test_tokens_are_counted_by_the_server_by_entries_or_by_bytes():
    found = draft()
    found.add(Piece("four"))
    assert (found.generated(), found.guessed) == (4, True)
    found.add(Piece("a long text that goes on"))
    assert found.generated() == 10  # never beyond the cap
    found.logprobs += [-1.0, -1.0]
    assert (found.generated(), found.guessed) == (2, False)
    found.count({"prompt_tokens": 5, "completion_tokens": 3})
    assert (found.generated(), found.prompt) == (3, 5)
    capped = draft()
    capped.add(Piece("x", finish="length"))
    assert (capped.generated(), capped.guessed) == (10, False)


def test_what_is_continued_is_counted_once():
    found = draft()
    found.add(Piece("abc"))
    found.count({"prompt_tokens": 5, "completion_tokens": 3})
    assert found.resume() == 7
    found.add(Piece("def", finish="stop"))
    found.count({"prompt_tokens": 8, "completion_tokens": 4})
    assert (found.prompt, found.generated()) == (5, 7)


def test_a_server_that_ignores_the_cap_is_named():
    found = draft()
    found.count({"completion_tokens": 11})
    with pytest.raises(BackendError, match="max_tokens"):
        found.check()


@given(
    st.lists(st.floats(0, 100), min_size=1, max_size=9),
    st.integers(1, 50),
    st.floats(0, 1),
)
def test_shares_add_up_and_stay_under_the_cap(weights, most, part):
    total = math.floor(part * most * len(weights))
    found = split(total, weights, most)
    assert sum(found) == total
    assert all(0 <= share <= most for share in found)
    even = split(total, [1.0] * len(weights), most)
    assert max(even) - min(even) <= 1


# --- prompts ------------------------------------------------------------------------------------


@given(st.integers(1, 5000), st.integers(1, 5000), st.text(min_size=1, max_size=20))
def test_a_bound_holds_for_all_that_was_counted(first, second, partial):
    bounds, root = PromptBounds(), Trajectory.root()
    node = root.extend(Segment(partial), child=0, clock=0)
    bounds.learn(CHAT, root, first)
    assert bounds.bound(CHAT, root) == first
    bounds.learn(CHAT, node, second)
    assert bounds.bound(CHAT, node) >= second
    assert bounds.bound(CHAT, root) == first
    other = Problem("o", messages=(*CHAT.messages, Message("user", "more")))
    assert bounds.bound(other, root) >= size("Add.1+1=more")
