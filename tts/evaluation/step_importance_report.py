"""What the steps of chains come to: a table, and plain values for a file. Knows effects only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tts.analysis.reading import Kind as StepKind
from tts.evaluation.chains import Figure
from tts.evaluation.chains_report import cell
from tts.evaluation.report import Sheet
from tts.evaluation.step_importance import MARGIN, Contrast, Effect, Weighed

_NAMES: Mapping[StepKind, str] = {
    "plain": "plain steps",
    "recheck": "re-checks",
    "change": "changes of mind",
}
_IDLE = "idle %"
_HEADS = ("", "steps", "problems", "hinders %", _IDLE, "helps %", "mean [95%]")


def sheets(effects: Sequence[Effect]) -> list[Sheet]:
    """A table an arm, with a row for each kind of step and of chain; at least one effect."""
    arms = dict.fromkeys(effect.arm for effect in effects)
    return [
        Sheet(f"{arm}: importance of steps", _HEADS, _lines(effects, arm), spare=(_IDLE,))
        for arm in arms
    ]


def _lines(effects: Sequence[Effect], arm: str) -> tuple[tuple[str, ...], ...]:
    return tuple(_line(effect) for effect in effects if effect.arm == arm)


def notes(
    effects: Sequence[Effect], contrasts: Sequence[Contrast], reader: str, left_out: int
) -> list[str]:
    """What must be said beside the numbers.

    Args:
        effects: What steps did.
        contrasts: Plain steps against others.
        reader: Name of the model that read the chains.
        left_out: Chains that were too long to be read.
    """
    said = [
        f"Importance, as {reader} finds it: perplexity of the chain's own answer without the step,"
        f" over that with it. A step helps above {MARGIN:g}, and hinders below 1/{MARGIN:g}."
    ]
    for each in contrasts:
        helps = cell(each.helps, share=True).replace("\\[", "[")
        said.append(
            f"{each.arm}: plain steps help {helps} points more often than"
            f" {_NAMES[each.step]} of the same chain, and do {_factor(each.ratio)} times as much"
            f" ({each.problems:,} problems)."
        )
    if all(effect.step == "plain" for effect in effects):
        said.append("No step that was looked at re-checks or changes the course.")
    if left_out:
        said.append(f"{left_out:,} chains were left out: they do not fit {reader}'s context.")
    return said


def markdown(effects: Sequence[Effect], said: Sequence[str]) -> str:
    """The text of `importance.md`."""
    tables = "\n".join(sheet.markdown() for sheet in sheets(effects))
    lines = "".join(f"\n{note}\n" for note in said)
    return f"{tables}\n![How much steps do for their answer](importance.png)\n{lines}"


def entries(
    effects: Sequence[Effect], contrasts: Sequence[Contrast], chains: Sequence[Weighed]
) -> dict[str, Any]:
    """Plain values: the figures, and the importance of each step by its number."""
    return {
        "effects": [asdict(effect) for effect in effects],
        "contrasts": [asdict(contrast) for contrast in contrasts],
        "chains": [_chain(each) for each in chains],
    }


def _chain(each: Weighed) -> dict[str, Any]:
    return {
        "arm": each.chain.arm,
        "id": each.chain.problem_id,
        "kind": each.chain.kind,
        "answer": each.chain.answer,
        "steps": [
            {"kind": kind, "importance": each.importance.get(number)}
            for number, kind in enumerate(each.kinds)
        ],
    }


def _line(effect: Effect) -> tuple[str, ...]:
    shares = (effect.hinders, effect.idle, effect.helps)
    return (
        f"{_NAMES[effect.step]}, {effect.kind}",
        f"{effect.steps:,}",
        f"{effect.problems:,}",
        *(cell(share, share=True) for share in shares),
        _factor(effect.mean).replace("[", "\\["),
    )


def _factor(figure: Figure) -> str:
    mean = f"{figure.mean:.3g}"
    if figure.low is None or figure.high is None:
        return mean
    return f"{mean} [{figure.low:.3g}, {figure.high:.3g}]"
