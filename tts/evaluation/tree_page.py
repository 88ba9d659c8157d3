"""A page of search trees: one HTML file that needs no network, with a picture of each tree.

Nodes are coloured by their scores, and shaped by how they ended and by who wrote them; the path of
the final answer stands out; a click shows what a node says. Texts of models are escaped, always.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from markupsafe import Markup
from rich.cells import cell_len, set_cell_size

from tts.evaluation.tree_exhibit import Exhibit, one_line
from tts.evaluation.tree_graph import ROOT
from tts.evaluation.tree_layout import WIDTH, Place, edge, outline, places, size
from tts.types import FinishReason

if TYPE_CHECKING:
    import jinja2

_CELLS = 25  # characters that fit into a node
_ASIDE = 20  # characters that fit beside a leaf
_SAMPLE = 36  # width of a shape in the legend, in pixels
_DARK, _LIGHT = "#000", "#fff"
_SHADES = 256  # of viridis


@dataclass(frozen=True, slots=True)
class _Box:
    """A node as it is drawn.

    Attributes:
        node: Its place in the tree.
        parent: That of its parent; None for the root.
        place: Where it stands.
        outline: Its shape, as an SVG path.
        edge: The line from its parent, as an SVG path; empty for the root.
        classes: How it is styled.
        fill: Colour of its score; empty without one.
        ink: Colour that can be read on `fill`.
        score: As the verifier said it; None without one.
        label: What is written on it.
        about: What is known of it.
        text: What it adds to the answer.
        mark: What is written beside it: right or wrong, and the answer if it is a leaf.
    """

    node: int
    parent: int | None
    place: Place
    outline: str
    edge: str
    classes: str
    fill: str
    ink: str
    score: float | None
    label: str
    about: str
    text: str
    mark: str


@dataclass(frozen=True, slots=True)
class _Picture:
    """A tree as it is drawn."""

    exhibit: Exhibit
    boxes: tuple[_Box, ...]
    width: float
    height: float


def tree_page(exhibits: Sequence[Exhibit]) -> str:
    """The page of some trees, one of which is shown at a time.

    Args:
        exhibits: At least one.

    Returns:
        The text of an HTML file.
    """
    ends: tuple[FinishReason, ...] = ("stop", "step", "length", "abort")
    samples = [(end, outline("model", end, _SAMPLE)) for end in ends]
    return _template().render(
        pictures=[_picture(exhibit) for exhibit in exhibits],
        scale=[colour(tenth / 10)[0] for tenth in range(11)],
        samples=[*samples, ("injected or forced", outline("forced", None, _SAMPLE))],
        width=WIDTH,
    )


def tree_svg(exhibit: Exhibit) -> Markup:
    """The picture of a tree alone, an `svg` element for another page.

    It is styled by `tree_svg.css`, which names the variables that the page must define.

    Args:
        exhibit: The tree.
    """
    environment = _template().environment
    picture = environment.get_template("tree_svg.html").render(
        picture=_picture(exhibit), width=WIDTH
    )
    return Markup(picture)


def colour(tone: float) -> tuple[str, str]:
    """The colour of a score, and one that can be read on it.

    The map is viridis, whose lightness grows evenly, so that all kinds of colour vision, and a
    printer without colours, can tell more from less.

    Args:
        tone: 0 to 1.
    """
    return _shade(min(_SHADES - 1, int(tone * _SHADES)))


@cache
def _shade(place: int) -> tuple[str, str]:
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    red, green, blue, _ = colormaps["viridis"](place)
    light = 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2
    # Black and white have the same contrast (WCAG) on a relative luminance of 0.18.
    return to_hex((red, green, blue)), _DARK if light > 0.18 else _LIGHT


def _picture(exhibit: Exhibit) -> _Picture:
    where = places(exhibit.graph, exhibit.verdicts)
    boxes = tuple(_box(exhibit, where, node) for node in sorted(exhibit.graph))
    return _Picture(exhibit, boxes, *size(where))


def _box(exhibit: Exhibit, where: dict[int, Place], node: int) -> _Box:
    graph = exhibit.graph
    at = graph.nodes[node]
    tone = exhibit.tones.get(node)
    parent = next(iter(graph.predecessors(node)), None)
    fill, ink = ("", "") if tone is None else colour(tone)
    score = f"{at['score']:.3g} " if "score" in at else ""
    return _Box(
        node=node,
        parent=parent,
        place=where[node],
        outline=outline(at["origin"], at.get("finish")),
        edge="" if parent is None else edge(where[parent], where[node]),
        classes=" ".join(_classes(exhibit, node)),
        fill=fill,
        ink=ink,
        score=at.get("score"),
        label="the prompt" if node == ROOT else _cut(score + at["text"][:99], _CELLS),
        about=exhibit.about(node),
        text=exhibit.question if node == ROOT else at["text"],
        mark=_mark(exhibit, node),
    )


def _classes(exhibit: Exhibit, node: int) -> Iterator[str]:
    at = exhibit.graph.nodes[node]
    yield "root" if node == ROOT else at.get("finish", "open")
    if at["origin"] != "model":
        yield at["origin"]
    if at["chosen"]:
        yield "chosen"
    if verdict := exhibit.verdicts.get(node):
        yield {True: "right", False: "wrong", None: "ungraded"}[verdict.correct]


def _mark(exhibit: Exhibit, node: int) -> str:
    verdict = exhibit.verdicts.get(node)
    if verdict is None:
        return ""
    return verdict.mark if exhibit.graph.out_degree(node) else _cut(str(verdict), _ASIDE)


def _cut(text: str, cells: int) -> str:
    """As much of a text as fits; wide characters take two cells."""
    line = one_line(text)
    return line if cell_len(line) <= cells else set_cell_size(line, cells - 1).rstrip() + "…"


@cache
def _template() -> jinja2.Template:
    import jinja2

    loader = jinja2.PackageLoader("tts.evaluation", "")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("tree_page.html")
