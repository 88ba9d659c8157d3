"""Which scheme is taken, which are on the front, and what is said of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.advice.llamas import LLAMA, plan
from tts.advice.accuracy import PUBLISHED, Recovery
from tts.advice.advisor import Case, advise
from tts.advice.machines import KNOWN, TYPICAL
from tts.advice.workload import Workload
from tts.engine.machine import Efficiency

STREAM, CROWD = Workload(1, 500, 500), Workload(64, 1000, 500)
PLANS = [plan(name) for name in ("fp32", "bf16", "fp8", "w8a8_int8", "w4a16_gptq", "w4a16_awq")]


def case(machine="A100-80G", workload=CROWD, **changes) -> Case:
    return Case(LLAMA, KNOWN[machine], TYPICAL, workload, **changes)


def by_name(advice):
    return {row.plan.name: row for row in advice.rows}


def test_a_stream_on_a_mid_tier_gpu_takes_four_bits_if_that_keeps_enough():
    advice = advise(case("L40S", STREAM, keep=0.95), PLANS, PUBLISHED)
    assert advice.chosen and advice.chosen.plan.name == "w4a16_gptq"
    assert "a single stream is W4A16" in advice.reasons[-1] and "agrees" in advice.reasons[-1]
    strict = advise(case("L40S", STREAM), PLANS, PUBLISHED)
    assert strict.chosen and strict.chosen.plan.name == "fp8"
    assert "differs" in strict.reasons[-1]


def test_a_crowd_on_a_high_end_gpu_takes_eight_bits():
    advice = advise(case(), PLANS, PUBLISHED)
    assert advice.chosen and advice.chosen.plan.name == "w8a8_int8"
    assert "many streams on a high-end GPU is W8A8" in advice.reasons[-1]
    assert "agrees" in advice.reasons[-1]
    hopper = advise(case("H100-SXM"), PLANS, PUBLISHED)
    assert hopper.chosen and hopper.chosen.plan.name == "fp8"


def test_no_accuracy_is_given_away_for_next_to_nothing():
    # On a T4 both read as many bytes, and 8-bit integers are a little faster at the prompt.
    tight = advise(case("T4", STREAM), [plan("fp8"), plan("w8a8_int8")], PUBLISHED)
    eight, floats = by_name(tight)["w8a8_int8"], by_name(tight)["fp8"]
    assert 1 < floats.found.machine_seconds / eight.found.machine_seconds < 1.05
    assert tight.chosen == floats


def test_the_front_holds_what_nothing_beats():
    advice = advise(case(), PLANS, PUBLISHED)
    rows = [row for row in advice.rows if row.kept is not None]
    for one in rows:
        beaten = any(
            other.found.machine_seconds <= one.found.machine_seconds
            and other.kept.share >= one.kept.share
            and (other.found.machine_seconds, other.kept.share)
            != (one.found.machine_seconds, one.kept.share)
            for other in rows
        )
        assert one.best is not beaten, one.plan.name
    costs = [row.found.machine_seconds for row in advice.rows if row.best]
    assert costs == sorted(costs) and [row.best for row in advice.rows[: len(costs)]]
    assert {name for name, row in by_name(advice).items() if row.best} == {"w8a8_int8", "fp8"}


def test_what_nobody_knows_is_never_recommended():
    advice = advise(case(), [plan("bf16"), plan("w8a16_int8")], PUBLISHED)
    assert advice.chosen and advice.chosen.plan.name == "bf16"
    unknown = by_name(advice)["w8a16_int8"]
    assert unknown.kept is None and not unknown.best and unknown.found.tokens_per_second > 0
    mine = {**PUBLISHED, "w8a16_int8": Recovery(0.999, 0.999, 0.999, "mine", measured=True)}
    told = advise(case(workload=STREAM), [plan("bf16"), plan("w8a16_int8")], mine)
    assert told.chosen and told.chosen.plan.name == "w8a16_int8"
    assert "99.9% (mine)" in told.reasons[1]


def test_dollars_follow_the_machines_time():
    advice = advise(case(usd_per_hour=3.6), PLANS, PUBLISHED)
    for row in advice.rows:
        assert row.usd == pytest.approx(row.found.machine_seconds / 1000)
    assert all(row.usd is None for row in advise(case(), PLANS, PUBLISHED).rows)


def test_the_gain_over_the_whole_model_is_said():
    advice = advise(case(), PLANS, PUBLISHED)
    rows = by_name(advice)
    ratio = rows["w8a8_int8"].found.tokens_per_second / rows["bf16"].found.tokens_per_second
    assert f"{ratio:.2f} times those of bf16." in advice.reasons[0]
    shares = advice.reasons[2]
    assert (
        "% memory" in shares and "% arithmetic" in shares and "0% the engine's own work" in shares
    )


def test_what_does_not_fit_is_said():
    crowd = Workload(400, 4000, 4000)
    advice = advise(case(workload=crowd), PLANS, PUBLISHED)
    assert any(said.startswith("Memory holds ") for said in advice.reasons)
    few = advise(replace(case(), sequences=16), PLANS, PUBLISHED)
    assert any("The engine takes 16 answers at once (max_num_seqs)" in said for said in few.reasons)
    small = advise(case("T4"), [plan("fp16")], PUBLISHED)
    assert small.chosen is None
    assert small.reasons[0].startswith("Nothing fits: T4 has 12.0 GiB")
    assert not small.rows[0].fits and not small.rows[0].best


def test_too_much_asked_of_accuracy_is_said():
    advice = advise(case(keep=0.99), [plan("w8a8_int8"), plan("w4a16_awq")], PUBLISHED)
    assert advice.chosen is None and "known to keep 99% of the accuracy" in advice.reasons[0]


def test_an_engine_that_is_busy_with_itself_makes_all_schemes_alike():
    busy = Efficiency(step=1.0)
    rows = advise(replace(case(), efficiency=busy), PLANS, PUBLISHED)
    rates = [row.found.tokens_per_second for row in rows.rows]
    assert max(rates) < 1.05 * min(rates[:-1])
    assert (
        rows.reasons[2].startswith("Its time is 9") and "the engine's own work" in rows.reasons[2]
    )
