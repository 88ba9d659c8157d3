"""Chains for tests: written by hand, drawn at random, and made of worked solutions."""

from __future__ import annotations

from hypothesis import strategies as st

from tts.analysis import Reader
from tts.types import Segment, Trajectory

DOUBTING = (
    "<think>6*8=48 => 47+48-29\n\n48-29=19 => 47+19\n\nWait 48-29=19 => 47+19\n\n47+19=66\n\n"
    "Wait 47+19=66\n\n</think>\\boxed{66}"
)
CORRECTED = (
    "<think>6*8=58 => 47+58-29\n\n58-29=29 => 47+29\n\nWait 6*8=48 => 47+48-29\n\n"
    "48-29=19 => 47+19\n\n47+19=66\n\n</think>\\boxed{66}"
)
CHANGED = (
    "<think>6*8=48 => 47+48-29\n\n48-29=19 => 47+19\n\nAlternatively 47+48=95 => 95-29\n\n"
    "95-29=66\n\n</think>\\boxed{66}"
)
TWO_WAYS = (
    "<think>6*8=48 => 47+48-29\n\n48-29=19 => 47+19\n\n47+19=66\n\n"
    "Alternatively 47+48=95 => 95-29\n\n95-29=66\n\n</think>\\boxed{66}"
)


def chain(text, answer="66"):
    return Reader().read(text, answer)


def thought(*steps):
    return "<think>" + "".join(f"{step}\n\n" for step in steps) + "</think>"


def node(*segments):
    """A trajectory of these segments."""
    found = Trajectory.root()
    for number, segment in enumerate(segments):
        segment = Segment(segment) if isinstance(segment, str) else segment
        found = found.extend(segment, child=0, clock=number + 1)
    return found


_words = st.sampled_from(["", "Wait ", "Alternatively ", "Hmm, ", "But wait, "])
_said = st.sampled_from(
    [
        *("6*8=48 => 47+48-29", "6*8=58 => 47+58-29", "48-29=19 => 47+19", "47+19=66"),
        *("47+48=95 => 95-29", "95-29=66", "so it is 66.", "no idea", "48-", "\\boxed{12}"),
        *("=", "3 4"),
    ]
)
STEPS = st.lists(st.builds(str.__add__, _words, _said), max_size=12)
"""Steps of any kind, in any order."""
