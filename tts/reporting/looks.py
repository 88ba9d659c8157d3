"""How series look: a colour and a symbol each, the same on every picture of a board.

Colours are Okabe & Ito's, told apart by all common kinds of colour vision; symbols say it again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import cycle

import numpy as np

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
DARK_COLOURS = ("#4fa8e0", "#ff8a4c", "#2fcf9f", "#e8a3c8", "#f2b632", "#8fd0f5")
"""The same on a dark ground, in the same order."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "h")
_LETTERS = {1: "M", 2: "L", 3: "Q", 4: "C", 79: "Z"}  # of Matplotlib's codes
INK, SOFT, FAINT, PAPER = "#1d2024", "#5d646b", "#d9dde1", "#ffffff"


@dataclass(frozen=True, slots=True)
class Look:
    """Colour, as six hexadecimal digits; symbol and line, by their names in Matplotlib."""

    colour: str
    marker: str
    line: str = "-"

    @property
    def outline(self) -> str:
        """The symbol as an SVG path around (0, 0), one unit to each side."""
        from matplotlib.markers import MarkerStyle

        style = MarkerStyle(self.marker)
        path = style.get_path().transformed(style.get_transform())
        scale = float(np.abs(np.asarray(path.vertices)).max())
        said = []
        for points, code in path.iter_segments():
            flipped = [f"{x / scale * (-1) ** place:.3g}" for place, x in enumerate(points)]
            letter = _LETTERS[int(code)]
            said.append(letter if letter == "Z" else letter + " ".join(flipped))
        return "".join(said)


def looks(series: Iterable[str]) -> dict[str, Look]:
    """A look for each name; names that stand near each other look different."""
    ways = [(colour, line) for line in ("-", "--", ":") for colour in COLOURS]
    each = zip(cycle(ways), cycle(MARKERS), strict=False)
    return {
        name: Look(colour, marker, line)
        for name, ((colour, line), marker) in zip(dict.fromkeys(series), each, strict=False)
    }
