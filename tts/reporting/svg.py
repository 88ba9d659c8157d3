"""Figures of Matplotlib as files, and as inline SVG with the page's colours and texts on points.

The page's style sheet defines the variables, light and dark; a colour that is none of ours stays.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING

from markupsafe import Markup, escape

from tts.reporting.looks import COLOURS, FAINT, INK, PAPER, SOFT
from tts.reporting.pictures import TIP
from tts.reporting.visible import visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_THEME = {
    **{colour: f"var(--c{place})" for place, colour in enumerate(COLOURS)},
    **{
        INK: "var(--ink)",
        "#000000": "var(--ink)",
        "black": "var(--ink)",
        "#ffffff": "var(--paper)",
    },
    **{SOFT: "var(--soft)", "#777777": "var(--soft)", "#555555": "var(--soft)"},
    **{FAINT: "var(--line)", PAPER: "var(--paper)"},
}
_COLOUR = re.compile(r"#[0-9a-f]{6}\b")
_PLAIN_ID = re.compile(rf' id="(?!{TIP}\d|[A-Za-z]+\d*_?\d*_?[0-9a-f]{{10}}")[^"]*"')
_TIP = re.compile(rf'<g id="{TIP}(\d+)">')


def inline(chart: Figure, name: str, about: str, tips: Mapping[int, str] | None = None) -> Markup:
    """A figure as an element of a page.

    Args:
        chart: Closed afterwards.
        name: Unique on the page; what is referred to inside is named after it.
        about: For those who cannot see it.
        tips: Texts of the points, by number.
    """
    said = io.BytesIO()
    for patch in (chart.patch, *(axes.patch for axes in chart.axes)):
        patch.set_visible(False)
    save(chart, said, "svg", name)
    text = said.getvalue().decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r"<svg [^>]*?(viewBox=\"[^\"]*\")[^>]*>", _opening(about), text, count=1)
    text = _PLAIN_ID.sub("", text).replace("xlink:href", "href")
    text = _COLOUR.sub(lambda m: theme(m[0]), text)
    text = _TIP.sub(lambda m: _titled((tips or {}).get(int(m[1]), "")), text)
    return Markup(re.sub(r"\n\s*", "\n", text))


def save(chart: Figure, to: IO[bytes] | Path, kind: str, name: str) -> None:
    """Write a figure, the same bytes every time.

    Args:
        chart: The figure.
        to: An open file, or a path.
        kind: `png` or `svg`; the texts of an SVG stay texts.
        name: What is referred to inside an SVG is named after it.
    """
    import matplotlib

    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        with warnings.catch_warnings():
            # A label may hold signs that the font lacks; a box is drawn for them.
            warnings.filterwarnings("ignore", message="Glyph .* missing")
            chart.savefig(to, format=kind, metadata={"Date": None} if kind == "svg" else None)


def theme(colour: str) -> str:
    """What a style sheet calls a colour: a variable of the page, if it is one of ours."""
    return _THEME.get(colour, colour)


def _opening(about: str) -> str:
    told = str(escape(visible(about))).replace("\\", "\\\\")
    return rf'<svg class="chart" \1 role="img" aria-label="{told}">'


def _titled(text: str) -> str:
    return f'<g class="point" tabindex="0"><title>{escape(visible(text))}</title>'
