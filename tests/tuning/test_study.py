"""What has been tried is kept, and nothing is measured twice."""

from __future__ import annotations

import json
import sys

import pytest

from tts.errors import ConfigError
from tts.tuning.engine.knobs import Knob
from tts.tuning.engine.study import JOURNAL, Study, size
from tts.tuning.engine.tried import Tried

KNOBS = (Knob("threads", (1, 2, 4)), Knob("enforce_eager", (True, False)))
WHO = {"model": "m", "pieces": [4, 2]}


def study(folder, who=WHO, knobs=KNOBS):
    return Study(folder, who, knobs, seed=3)


def measured(point, ratio=1.0):
    return Tried(f"t{point}", point, "measured", ratios=(ratio, ratio), latencies=(1.0, 2.0))


def key(point):
    return json.dumps(point, sort_keys=True)


def test_every_point_is_proposed_once_and_then_no_more(tmp_path):
    with study(tmp_path) as found:
        seen = []
        while (point := found.propose()) is not None:
            seen.append(key(point))
            found.keep(measured(point))
    assert len(seen) == len(set(seen)) == size(KNOBS) == 6


def test_what_was_tried_is_there_again(tmp_path):
    with study(tmp_path) as first:
        kept = [
            measured(first.propose(), 1.5),
            Tried("b", {}, "infeasible", "too little"),
            Tried("c", {}, "stopped", ratios=(0.5,)),
        ]
        first.keep(kept[0])
        for each in kept[1:]:
            kept[kept.index(each)] = each = Tried(
                each.name, first.propose(), each.status, each.reason, each.ratios
            )
            first.keep(each)
        first.keep_reference(Tried("ours", {}, "measured", ratios=(1.0,)))
        first.keep_rounds([{"ours": 2.0}])
    with study(tmp_path) as second:
        assert second.tried == kept
        assert second.continued == 3 and second.moved is None
        assert second.reference("ours").ratios == (1.0,)
        assert second.reference("theirs") is None
        assert second.rounds == [{"ours": 2.0}]
        assert key(second.propose()) not in {key(each.point) for each in kept}


def test_what_was_under_way_is_proposed_again(tmp_path):
    with study(tmp_path) as first:
        first.keep(measured(first.propose()))
        lost = first.propose()  # and here the power fails
    with study(tmp_path) as second:
        assert second.propose() == lost


def test_proposals_follow_from_the_seed(tmp_path):
    def way(folder):
        with study(tmp_path / folder) as found:
            points = []
            for _ in range(4):
                points.append(found.propose())
                found.keep(measured(points[-1]))
            return points

    assert way("a") == way("b")


def test_another_search_is_moved_aside(tmp_path):
    with study(tmp_path) as first:
        first.keep(measured(first.propose()))
    with study(tmp_path, {**WHO, "model": "another"}) as second:
        assert second.moved == tmp_path / "earlier" / "1"
        assert (second.moved / JOURNAL).is_file()
        assert second.tried == []


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "results.jsonl").write_text("{}")
    with pytest.raises(ConfigError, match="something else"), study(tmp_path):
        pass
    assert (tmp_path / "results.jsonl").read_text() == "{}"


def test_two_searches_in_one_folder_are_refused(tmp_path):
    with (
        study(tmp_path),
        pytest.raises(ConfigError, match="Another search is writing"),
        study(tmp_path),
    ):
        pass
    with study(tmp_path):  # the first has left
        pass


def test_without_optuna_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError) as error, study(tmp_path / "out"):
        pass
    assert "tts-scaling[tune]" in error.value.hint
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written to"), study(tmp_path / "file"):
        pass


def test_the_estimator_finds_a_hill(tmp_path):
    """Of 150 points it measures 30, a fifth; 6 stand on the top of the hill."""
    five, three = (1, 2, 3, 4, 5), (1, 2, 3)
    knobs = (Knob("a", five), Knob("b", five), Knob("c", three), Knob("d", (True, False)))

    def height(point):
        return 1 - 0.15 * (abs(point["a"] - 4) + abs(point["b"] - 2)) - 0.02 * point["c"]

    with study(tmp_path, knobs=knobs) as found:
        for _ in range(30):
            point = found.propose()
            found.keep(measured(point, max(0.05, height(point))))
        best = max(found.tried, key=lambda one: one.ratio)
    assert best.point["a"] == 4 and best.point["b"] == 2


def test_the_defaults_are_told_to_the_estimator_where_they_lie_among_the_points(tmp_path):
    with study(tmp_path) as found:
        ours = Tried("ours", {}, "measured", ratios=(1.0,))
        found.keep_reference(ours, {"threads": 2, "enforce_eager": True})
        found.keep_reference(ours, {"threads": 3, "enforce_eager": True})  # cannot be proposed
        known = [trial.params for trial in found._study.get_trials() if trial.value == 1.0]
    assert known == [{"threads": 1, "enforce_eager": True}]


def test_what_is_suggested_comes_first_and_once(tmp_path):
    points = [{"threads": 4, "enforce_eager": False}, {"threads": 1}]
    with study(tmp_path) as first:
        first.suggest(points)
        assert first.propose() == points[0]
        first.keep(measured(points[0]))
    with study(tmp_path) as second:
        second.suggest([{"threads": 2, "enforce_eager": True}])  # the search has begun
        found = second.propose()
        assert found["threads"] == 1
