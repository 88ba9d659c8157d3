"""The search on a simulated machine: what is found, given up, survived and kept."""

from __future__ import annotations

import math

import pytest

from tests.tuning.machines import KNOBS, Machine, Notes, search, speed
from tts.tuning.engine.candidates import OURS, VLLM
from tts.tuning.engine.study import Study
from tts.tuning.engine.trial import TrialFailed
from tts.tuning.engine.verdict import verdict


@pytest.fixture
def study(tmp_path):
    with Study(tmp_path / "out", {}, KNOBS, seed=0) as found:
        yield found


def all_ended(machine):
    started = [name for what, name in machine.log if what == "start"]
    ended = [name for what, name in machine.log if what == "end"]
    return sorted(n for n in started if n not in machine.refuses) == sorted(ended)


@pytest.mark.parametrize("room", [10.0, 2.0, 0.0])
@pytest.mark.parametrize("objective", ["throughput", "latency"])
def test_the_best_is_found_whatever_the_room(study, room, objective):
    machine = Machine()
    search(study, machine, room=room, objective=objective)
    found = verdict(study)
    assert found.winner.point["threads"] == 4
    best = found.standings[0]
    assert best.over[OURS].mean == pytest.approx(1.5)
    assert best.over[VLLM].mean == pytest.approx(150 / 80)
    assert found.against.mean == pytest.approx(100 / 80)
    assert study.reference(VLLM).ratios == pytest.approx((0.8,) * 4)
    assert all_ended(machine)


def test_losers_are_given_up(study):
    machine = Machine()
    search(study, machine)
    by_threads = {each.point["threads"]: each for each in study.tried}
    assert by_threads[1].status == "stopped" and len(by_threads[1].ratios) == 2
    assert by_threads[4].status == "measured" and len(by_threads[4].ratios) == 4


def test_a_machine_that_gets_slower_changes_nothing(study):
    """It is five times as slow in the end as in the beginning; turns cancel that."""
    machine = Machine(drift=lambda number: 1 + number / 25)
    search(study, machine, rounds=8)
    best = verdict(study).standings[0]
    assert best.over[OURS].mean == pytest.approx(1.5, rel=0.1)
    for each in study.tried:
        assert each.ratio == pytest.approx(speed(each.point) / 100, rel=0.15)


def test_the_references_compete_alone_where_nobody_else_does(study):
    search(study, Machine(), trials=0)
    found = verdict(study)
    assert found.winner is None and not found.standings and found.rounds == 4
    assert found.sentences() == [
        "No candidate was measured to its end: keep the defaults.",
        "The defaults are 1.25 [1.25, 1.25] times as good as vLLM's in these rounds.",
    ]


def test_noise_alone_makes_no_winner(study):
    search(study, Machine(speed=lambda point: 100.0, noise=0.1), rounds=8)
    found = verdict(study)
    assert found.standings
    assert found.winner is None
    assert "keep the defaults" in found.sentences()[1]


def test_what_fails_is_recorded_and_the_search_goes_on(study):
    machine = Machine(dies=frozenset({"trial 1"}), refuses=frozenset({"trial 2", VLLM}))
    search(study, machine)
    by_name = {each.name: each for each in study.tried}
    assert by_name["trial 1"].status == by_name["trial 2"].status == "failed"
    assert "killed" in by_name["trial 1"].reason
    assert study.reference(VLLM).status == "failed"
    found = verdict(study)
    assert found.winner is not None
    assert set(found.standings[0].over) == {OURS}
    assert all_ended(machine)


def test_who_dies_in_the_contest_leaves_it(study):
    machine = Machine()

    def best():
        return max(study.tried, key=lambda one: one.ratio).name

    class Late(Notes):
        def stage(self, what, number, of):
            if what.startswith("contest") and number == 2:
                machine.dies = frozenset({best()})

    search(study, machine, watcher=Late())
    found = verdict(study)
    assert best() not in {each.name for each in found.standings}
    assert found.rounds == 4 and len(found.standings) == 2
    assert all_ended(machine)


def test_the_defaults_must_be_measurable(study):
    with pytest.raises(TrialFailed):
        search(study, Machine(refuses=frozenset({OURS})))


def test_what_is_infeasible_costs_nothing(study):
    machine = Machine()

    def why_not(point):
        return "Too many." if point["threads"] == 4 else ""

    search(study, machine, why_not=why_not)
    infeasible = [each for each in study.tried if each.status == "infeasible"]
    assert {each.reason for each in infeasible} == {"Too many."} and len(infeasible) == 2
    assert not {each.name for each in infeasible} & {name for _, name in machine.log}


def test_trials_end_with_their_number_or_the_time(study):
    search(study, Machine(), trials=2)
    assert len(study.tried) == 2 and len(study.rounds) == 4
    search(study, Machine(), trials=6, seconds=0.0)  # no time for one more
    assert len(study.tried) == 2


def test_the_contest_is_held_however_little_time_is_left(study):
    search(study, Machine(), trials=1)
    study.keep_rounds([])
    search(study, Machine(), trials=1, seconds=0.0, rounds=9)
    assert len(study.rounds) == 3


def test_an_interrupted_search_goes_on_where_it_was(tmp_path):
    class Impatient(Notes):
        def __init__(self, when):
            super().__init__()
            self._when = when

        def stage(self, what, number, of):
            super().stage(what, number, of)
            if len(self.stages) == self._when:
                raise KeyboardInterrupt

    known = 0
    for when in (4, 3, 4, 100):
        machine = Machine()
        with Study(tmp_path / "out", {}, KNOBS, seed=0) as study:
            assert len(study.tried) == known
            if when < 100:
                with pytest.raises(KeyboardInterrupt):
                    search(study, machine, watcher=Impatient(when))
            else:
                search(study, machine)
            known = len(study.tried)
        assert all_ended(machine)
        assert machine.count("measure", VLLM) < 12
    assert known == 6 and verdict_of(tmp_path).winner.point["threads"] == 4


def verdict_of(tmp_path):
    with Study(tmp_path / "out", {}, KNOBS, seed=0) as study:
        return verdict(study)


def test_a_finished_search_measures_nothing_again(study):
    search(study, Machine())
    machine = Machine()
    search(study, machine)
    assert not machine.log


def test_engines_are_kept_for_the_contest_where_there_is_room(study):
    machine = Machine()
    search(study, machine)
    for name in (VLLM, OURS, *(each.name for each in verdict(study).standings)):
        assert machine.count("start", name) == 1
    scarce = Machine()
    with Study(study.folder.parent / "other", {}, KNOBS, seed=0) as other:
        search(other, scarce, room=2.0)
    assert scarce.count("start", OURS) > 1
    running = 0
    for what, _ in scarce.log:
        running += {"start": 1, "end": -1, "measure": 0}[what]
        assert running <= 2


def test_candidates_and_defaults_take_turns(study):
    machine = Machine()
    search(study, machine)
    names = [name for what, name in machine.log if what == "measure"]
    mine = [name for name in names if name in ("trial 1", OURS)]
    start = mine.index("trial 1")
    # One piece to warm up; then candidate, defaults, defaults, candidate, and so on.
    assert mine[start : start + 5] == ["trial 1", "trial 1", OURS, OURS, "trial 1"]


def test_ratios_average_in_the_logarithm(study):
    search(study, Machine())
    for each in study.tried:
        logs = [math.log(value) for value in each.ratios]
        assert math.log(each.ratio) == pytest.approx(math.fsum(logs) / len(logs))
