"""The roofline as a picture: what stands where."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.advice.llamas import LLAMA, plan
from tts.advice.accuracy import PUBLISHED
from tts.advice.advisor import Case, advise
from tts.advice.machines import KNOWN, TYPICAL
from tts.advice.picture import draw, picture
from tts.advice.workload import Workload
from tts.engine.machine import IDEAL
from tts.engine.roofline import decode, operators

A100 = KNOWN["A100-80G"]
CASE = Case(LLAMA, A100, TYPICAL, Workload(64, 1000, 500))


def row(case=CASE):
    (found,) = advise(case, [plan("w8a8_int8")], PUBLISHED).rows
    return found


def test_operators_stand_under_the_roof():
    (axes,) = picture(CASE, row(), "a title").axes
    assert axes.get_title("left") == "a title"
    points = [each.get_offsets()[0] for each in axes.collections]
    assert len(points) == 2 * 9  # a step, and a prompt
    for x, y in points:
        # 65% of the roof: of bandwidth times intensity, or of the peak of 8-bit integers.
        assert y <= 0.65 * min(624e12, x * 2039e9) * (1 + 1e-9)
    roofs = {line.get_ydata()[-1] for line in axes.lines}
    assert roofs == {312e12, 624e12}


def test_places_are_those_of_the_formulas():
    case = replace(CASE, efficiency=IDEAL)
    (axes,) = picture(case, row(case), "").axes
    model = plan("w8a8_int8").loaded(LLAMA, A100.hardware)
    found = operators(LLAMA, model.numerics, decode(64, 1000 + 501 / 2))
    for each, symbol in zip(found, axes.collections, strict=False):
        x, y = symbol.get_offsets()[0]
        assert x == pytest.approx(each.intensity)
        roof = min(A100.peaks[each.arithmetic], each.intensity * A100.bandwidth)
        assert y == pytest.approx(roof)


def test_a_picture_is_written_whole(tmp_path):
    draw(CASE, row(), "a title", tmp_path / "roofline.png")
    assert (tmp_path / "roofline.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["roofline.png"]
