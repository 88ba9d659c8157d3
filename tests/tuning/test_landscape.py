"""What is left of a search: the picture, the configuration, the JSON."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.tuning.machines import KNOBS, Machine, search
from tts.tuning.engine.candidates import VLLM
from tts.tuning.engine.knobs import Knob
from tts.tuning.engine.landscape import draw, importance, picture
from tts.tuning.engine.saving import TUNED, configuration, save
from tts.tuning.engine.study import Study
from tts.tuning.engine.tried import Tried
from tts.tuning.engine.verdict import verdict

ABOUT = {"model": "m", "workload": "greedy on mini"}


@pytest.fixture
def found(tmp_path):
    def why_not(point):
        return "No." if point == {"threads": 1, "block_size": 64} else ""

    with Study(tmp_path / "out", {}, KNOBS, seed=0) as study:
        search(study, Machine(), why_not=why_not)
        return verdict(study)


def tried(threads, block, ratio):
    return Tried("t", {"threads": threads, "block_size": block}, "measured", ratios=(ratio,))


def test_what_a_knob_explains():
    rows = [tried(t, b, {1: 0.5, 2: 1.0, 4: 1.5}[t]) for t in (1, 2, 4) for b in (32, 64)]
    assert importance(rows, KNOBS) == {"threads": pytest.approx(1.0), "block_size": 0.0}
    assert importance([], KNOBS) == {"threads": 0.0, "block_size": 0.0}
    same = [tried(t, 32, 1.0) for t in (1, 2, 4, 1)]
    assert set(importance(same, KNOBS).values()) == {0.0}


def test_every_trial_is_in_the_picture(found):
    paths, *panels = picture(found, KNOBS, "a title").axes
    measured = [each for each in found.tried if each.ratios]
    lines = [line for line in paths.lines if len(line.get_xdata()) == len(KNOBS) + 1]
    assert len(lines) == len(measured) == 5
    assert [axes.get_title("left").splitlines()[0] for axes in panels] == [
        "threads", "block_size",
    ]  # fmt: skip
    for axes in panels:
        heights = sorted(each.get_offsets()[0][1] for each in axes.collections)
        ratios = sorted(each.ratio for each in measured)
        assert heights[1:] == pytest.approx(ratios)
        assert heights[0] < ratios[0]  # what was not feasible, at the bottom


def test_a_picture_with_one_point_and_one_knob(tmp_path):
    knobs = (Knob("threads", (1, 2)),)
    with Study(tmp_path / "out", {}, knobs, seed=0) as study:
        search(study, Machine(), trials=1)
        draw(verdict(study), knobs, "a title", tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "a.png.part").exists()


def test_what_is_saved(found, tmp_path):
    save(tmp_path, ABOUT, KNOBS, found, "2026-01-02")
    document = json.loads((tmp_path / "study.json").read_text())
    assert len(document["trials"]) == 6 and document["winner"] == found.winner.name
    assert {each["status"] for each in document["trials"]} >= {"measured", "infeasible"}
    assert document["settings"] == dict(found.winner.point)
    text = (tmp_path / TUNED).read_text()
    assert yaml.safe_load(text) == {"model": {"engine": dict(found.winner.point)}}
    assert text.startswith("# @package _global_\n")
    for word in ("greedy on mini", "2026-01-02", "1.50 [1.50, 1.50]", "times as good as vLLM's"):
        assert word in text


def test_drafts_are_saved_as_the_engine_wants_them(tmp_path):
    knobs = (Knob("speculative_tokens", (0, 3)),)

    def quick(point):
        return 200.0 if point.get("speculative_tokens") == 3 else 100.0

    with Study(tmp_path / "out", {}, knobs, seed=0) as study:
        search(study, Machine(speed=quick), trials=2)
        text = configuration(tmp_path, ABOUT, verdict(study), "today")
    engine = yaml.safe_load(text)["model"]["engine"]
    assert engine == {"speculative": {"method": "ngram", "tokens": 3}}


def test_nothing_is_saved_where_nothing_is_better(tmp_path):
    with Study(tmp_path / "out", {}, KNOBS, seed=0) as study:
        search(study, Machine(speed=lambda point: 100.0))
        found = verdict(study)
    assert found.winner is None
    text = configuration(tmp_path, ABOUT, found, "today")
    assert yaml.safe_load(text) is None
    assert "Nothing was better" in text
    assert found.named(VLLM).ratio == pytest.approx(1.0)
