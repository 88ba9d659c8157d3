"""The mock engine on which searches are compared, and the comparison; in virtual time."""

import asyncio

import pytest

from benchmarks._peers.mock import DELIMITER, Engine, Job, VirtualLoop, perform
from benchmarks._peers.ours import solve
from benchmarks.peers import COMPARISONS, JUDGES, ratio, row

JOB = Job("particles", problems=1, at_once=1, virtual=True)


def on(job, use):
    """What `use` makes of an engine."""

    async def used():
        return await use(Engine(job))

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(used())


def changed(**what):
    return Job(**{**vars(JOB), **what})


async def ends(engine, *pieces):
    """When each of these ends, all begun at once."""
    loop = asyncio.get_running_loop()

    async def one(piece):
        await piece
        return loop.time()

    return await asyncio.gather(*map(one, pieces))


def test_steps_wait_for_a_slot_in_the_order_in_which_they_came():
    found = on(
        changed(slots=2), lambda engine: ends(engine, *(engine.decode(s) for s in (3, 1, 1, 5)))
    )
    assert found == pytest.approx([3, 1, 2, 7])


def test_what_waits_for_a_judge_is_one_batch():
    job = changed(replicas=1, call_s=1, item_s=0.5)
    found = on(job, lambda engine: ends(engine, *(engine.judge([t]) for t in "abc")))
    assert found == pytest.approx([1.5, 3.5, 3.5])


def test_a_call_is_one_batch_unless_it_is_shared_evenly():
    def judged(even):
        job = changed(replicas=2, call_s=1, item_s=0.5, even=even)
        return on(job, lambda engine: ends(engine, engine.judge(list("abcd"))))

    assert judged(False) == pytest.approx([3])
    assert judged(True) == pytest.approx([2])


def test_the_kth_draw_of_a_step_is_the_same_for_whoever_asks():
    async def drawn(engine):
        asked = [engine.draw(problem, 0) for problem in "aab"]
        scores = await engine.judge([f"before{DELIMITER}{step.text}" for step in asked])
        return asked, scores

    asked, scores = on(JOB, drawn)
    assert on(JOB, drawn) == (asked, scores)
    assert len({step.seconds for step in asked}) == len(set(scores)) == 3


def test_latencies_have_the_mean_that_is_asked_for():
    async def mean(engine):
        return sum(engine.draw("a", 0).seconds for _ in range(20_000)) / 20_000

    assert on(changed(step_s=2.0), mean) == pytest.approx(2.0, rel=0.05)


def test_slot_use_ends_with_the_work_that_could_fill_all_slots():
    async def used(engine):
        async def problem(*seconds):
            for each in seconds:
                await asyncio.gather(engine.decode(each), engine.decode(each / 2))
            engine.solved()

        await asyncio.gather(problem(2), problem(4), problem(4, 4))
        return engine.report()

    report = on(changed(problems=3, n=2, slots=4), used)
    # Two problems can fill four slots, one cannot: the third is alone from 4 on. Until then the
    # first had 2 + 1, the second 4 + 2, and the third, which began at 1, had 3 + 2.
    assert report["slot_use"] == pytest.approx((3 + 6 + 5) / (4 * 4))
    assert report["slot_use_to_the_end"] == pytest.approx(21 / (4 * report["seconds"]))


def test_a_process_that_comes_late_leaves_its_slot_idle():
    async def late(engine):
        loop = asyncio.get_running_loop()
        loop.call_later(0.5, lambda: setattr(loop._jump, "now", 2.5))
        await engine.decode(1)
        return loop.time(), engine.use(loop.time())

    assert on(changed(slots=1), late) == pytest.approx((2.5, 0.4))


@pytest.mark.parametrize("search", ["particles", "beam", "async_beam"])
def test_our_side_draws_every_candidate_of_every_step(search):
    report = perform(changed(search=search, problems=3, at_once=2), solve)
    assert report["calls"] == 3 * 8 * 8
    assert report["judged"] <= report["calls"]


def test_a_search_without_barriers_ends_earlier():
    seconds = {s: perform(changed(search=s), solve)["seconds"] for s in ("beam", "async_beam")}
    assert seconds["async_beam"] < seconds["beam"]


def reports(calls=100, judged=100, seconds=1.0, slot_use=0.9):
    return {"calls": calls, "judged": judged, "seconds": seconds, "slot_use": slot_use}


@pytest.mark.parametrize("less", [{"calls": 89}, {"judged": 89}])
def test_different_work_has_no_ratio(less):
    found = {"ours": [reports(), reports()], "its_hub": [reports(), reports(**less)]}
    assert ratio(found) is None
    told = row(COMPARISONS[0], found, found)
    assert (told["ratio"], told["met"], told["same_work"]) == (None, None, False)


def test_verdicts_are_of_medians_in_real_time():
    shape = {"ours": [reports()] * 3, "its_hub": [reports()] * 3}
    real = {"ours": [reports(seconds=s) for s in (0.7, 0.9, 3.0)], "its_hub": [reports()] * 3}
    by_target = {c.name: row(c, shape, real)["met"] for c in COMPARISONS}
    assert [c.ratio for c in COMPARISONS if not by_target[c.name]] == [0.7]
    assert row(COMPARISONS[0], shape, real)["shape"]["median"] == 1
    assert row(JUDGES[0], shape, None)["met"] is None
