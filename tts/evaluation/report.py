"""The tables of a run: on the screen, and as Markdown in `summary.md`.

Knows rows only. The first row is the reference of every comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tts.evaluation.claims import Claim, head
from tts.evaluation.pareto import front
from tts.evaluation.summary import Row

_NONE = "–"
_WIDE = 104  # characters that the whole table takes


@dataclass(frozen=True)
class Sheet:
    """A table as plain strings.

    Attributes:
        title: Above it.
        columns: Heads; the first column is set left, the others right.
        lines: One list of cells a row.
        spare: Heads of the columns that a narrow terminal does without.
    """

    title: str
    columns: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    spare: tuple[str, ...] = ()

    def rich(self, width: int) -> Table:
        """For a terminal of `width` characters."""
        kept = [i for i, c in enumerate(self.columns) if width >= _WIDE or c not in self.spare]
        table = Table(title=self.title, title_style="bold", title_justify="left")
        table.box, table.show_edge, table.pad_edge = SIMPLE_HEAD, False, False
        longest = max(len(word) for line in self.lines for word in line[0].split())
        table.add_column(self.columns[0], min_width=min(longest, 24), overflow="fold")
        for i in kept[1:]:
            table.add_column(self.columns[i], justify="right")
        for line in self.lines:
            table.add_row(*(line[i] for i in kept))
        return table

    def markdown(self) -> str:
        """For a file."""
        rule = [":--", *["--:"] * (len(self.columns) - 1)]
        lines = ["| " + " | ".join(line) + " |" for line in (self.columns, rule, *self.lines)]
        body = "\n".join(line.replace("\n", " ").replace("\\[", "[") for line in lines)
        return f"### {self.title}\n\n{body}\n"


def sheets(rows: Sequence[Row]) -> list[Sheet]:
    """The table of all rows, and the paired comparisons with the first if there are any.

    `tokens a point` are the completion tokens paid for each point of accuracy gained over the
    first row.

    Args:
        rows: At least one.
    """
    found = [_overview(rows)]
    if any(row.difference is not None for row in rows[1:]):
        found.append(_pairs(rows))
    return found


def notes(rows: Sequence[Row]) -> list[str]:
    """What must be said beside the numbers."""
    said = []
    if any(row.simulated for row in rows):
        said.append("Simulated: these figures say nothing of a real model.")
    for row in rows:
        if row.n_failed:
            said.append(
                f"{row.strategy}: {row.n_failed} of {row.n_solved} problems failed; they are in"
                " no accuracy, and the same command runs them again."
            )
    for row in rows:
        if 0 < row.n_ungraded < row.n_solved:
            said.append(
                f"{row.strategy}: the accuracy is that of {row.n_solved - row.n_ungraded:,} of"
                f" {row.n_solved:,} problems; no right answer is known of the others."
            )
    for row in rows:
        if row.total_limit:
            said.append(
                f"{row.strategy}: {row.total_limit} was spent before all was done;"
                f" {row.n_starved:,} of {row.n_solved:,} problems got nothing, and count as wrong."
            )
    priced = [row for row in rows if row.accuracy is not None]
    if len(priced) > 2:
        best = front([(r.per_problem("completion_tokens"), r.accuracy or 0.0) for r in priced])
        names = ", ".join(priced[place].strategy for place in best)
        said.append(f"No row is as accurate for fewer completion tokens (Pareto front): {names}.")
    for row in rows:
        if row.draft_tokens:
            said.append(
                f"{row.strategy}: {100 * row.draft_tokens / row.completion_tokens:.0f}% of the"
                f" completion tokens by the draft model {row.draft}, rejected ones included."
            )
    replayed = [row for row in rows if row.replayed_tokens]
    if replayed:
        tokens, whole = (
            sum(getattr(row, field) for row in replayed)
            for field in ("replayed_tokens", "completion_tokens")
        )
        said.append(
            f"{100 * tokens / whole:.0f}% of the completion tokens of"
            f" {', '.join(row.strategy for row in replayed)} came from the replay cache; they are"
            " charged as if generated now."
        )
    return said


def markdown(rows: Sequence[Row], claims: Sequence[Claim] = ()) -> str:
    """The text of `summary.md`."""
    said = "".join(f"\n{note}\n" for note in notes(rows))
    decided = "\n".join(["", head(), *(claim.markdown() for claim in claims), ""]) if claims else ""
    return "\n".join(sheet.markdown() for sheet in sheets(rows)) + decided + said


def show(rows: Sequence[Row], console: Console, claims: Sequence[Claim] = ()) -> None:
    """Print tables, claims and notes."""
    for sheet in sheets(rows):
        console.print(sheet.rich(console.width))
        console.print()
    for claim in claims:
        console.print(_sentence(claim))
    if claims:
        console.print()
    for note in notes(rows):
        console.print(note, style="yellow")


def _sentence(claim: Claim) -> str:
    if claim.cost:
        low, mean, high = claim.interval.low, claim.interval.mean, claim.interval.high
        return (
            f"Claim of {claim.cost} at most {claim.margin:g} times, {claim.what}:"
            f" [bold]{claim.verdict}[/bold] ({mean:.2f} times [{low:.2f}, {high:.2f}])"
        )
    span = _span(claim.interval.low, claim.interval.high, "+")
    margin = f", margin {100 * claim.margin:g}" if claim.margin else ""
    return (
        f"Claim of {claim.kind}{margin}, {claim.what}: [bold]{claim.verdict}[/bold]"
        f" ({100 * claim.interval.mean:+.1f} {span} points)"
    )


def title(rows: Sequence[Row]) -> str:
    """What the rows have in common: task, model, number of problems."""
    first = rows[0]
    tasks = ", ".join(dict.fromkeys(row.task for row in rows))
    models = ", ".join(dict.fromkeys(row.model for row in rows))
    models = "Simulated model" if models == "simulated" else models
    text = f"{models} on {tasks}, {first.n_problems:,} problems"
    if first.n_repeats > 1:
        text += f" × {first.n_repeats}"
    if any(row.simulated for row in rows) and "simulated" not in text.lower():
        text += " (simulated)"
    return text


def _overview(rows: Sequence[Row]) -> Sheet:
    columns: tuple[str, ...] = (
        "strategy", "accuracy % [95%]", "tokens", "sequential\ntokens", "verifier\ncalls",
        "FLOPs", "tokens\na point", "dollars", "seconds",
    )  # fmt: skip
    lines: tuple[tuple[str, ...], ...] = tuple(
        (
            row.strategy,
            _accuracy(row),
            f"{row.per_problem('completion_tokens'):,.0f}",
            f"{row.per_problem('sequential_tokens'):,.0f}",
            f"{row.per_problem('verifier_calls'):,.1f}",
            f"{row.per_problem('flops'):.1e}",
            _price(row, rows[0]),
            f"{row.per_problem('usd'):.2g}",
            f"{row.seconds:,.1f}",
        )
        for row in rows
    )
    spare = (columns[4], columns[5], columns[8])
    if not any(row.usd for row in rows):  # no price was given
        columns, lines = columns[:7] + columns[8:], tuple(x[:7] + x[8:] for x in lines)
    if any(row.ideal_seconds for row in rows):
        ideal = (f"{row.per_problem('ideal_seconds'):,.2g}" for row in rows)
        columns = (*columns, "idealised\nseconds")
        lines = tuple((*line, cell) for line, cell in zip(lines, ideal, strict=True))
    return Sheet(f"{title(rows)}; costs are means per problem", columns, lines, spare)


def _pairs(rows: Sequence[Row]) -> Sheet:
    columns = ("strategy", "points [95%]", "only it\nsolved", "only the\nother solved", "p (Holm)")
    lines = tuple(
        (
            row.strategy,
            f"{100 * row.difference:+.1f} {_span(row.difference_low, row.difference_high, '+')}",
            str(row.wins),
            str(row.losses),
            _p(row.p_value if row.p_adjusted is None else row.p_adjusted),
        )
        for row in rows[1:]
        if row.difference is not None
    )
    return Sheet(f"Against {rows[0].strategy}, problem by problem", columns, lines)


def _p(value: float | None) -> str:
    if value is None:
        return _NONE
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def _accuracy(row: Row) -> str:
    if row.accuracy is None:
        return _NONE
    return f"{100 * row.accuracy:.1f} {_span(row.accuracy_low, row.accuracy_high)}"


def _span(low: float | None, high: float | None, sign: str = "") -> str:
    if low is None or high is None:
        return ""
    return f"\\[{100 * low:{sign}.1f}, {100 * high:{sign}.1f}]"


def _price(row: Row, reference: Row) -> str:
    price = row.price_of_a_point(reference)
    return _NONE if price is None else f"{price:,.0f}"
