"""Fits on half of the problems of a run, and what they are worth on the other half."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tts.cli._judged_runs import Arm
from tts.errors import ConfigError
from tts.evaluation.judged import Judged
from tts.evaluation.reliability import reliability
from tts.evaluation.report import Sheet
from tts.evaluation.store import write_atomically
from tts.seeds import derive
from tts.verifiers.calibrated import Calibration
from tts.verifiers.curves import Method
from tts.verifiers.fitting import fit_curve, fit_probe
from tts.verifiers.probe import GROUP, ProbeFit, Written


@dataclass(frozen=True)
class Fit:
    """A fit that was written to a file.

    Attributes:
        path: Of the file.
        about: What it was fitted and tried on, in a sentence.
        sheet: What it is worth on the other half.
        values: The same, of JSON types.
        judged: Its scores of the other half's whole answers.
    """

    path: Path
    about: str
    sheet: Sheet
    values: dict[str, Any]
    judged: Judged


def held_out(names: Sequence[str]) -> NDArray[np.bool_]:
    """Which problems are kept for the trial; by their names alone, so always the same ones."""
    return np.array([derive(0, "verifier-report", name) % 2 == 1 for name in names])


def calibrate(arm: Arm, judged: Judged, method: Method, path: Path) -> Fit:
    """Fit a calibration, and write it.

    Raises:
        ConfigError: The run does not tell who wrote or judged, or teaches nothing.
    """
    author, judge, scale = arm.author, arm.judge, arm.scale
    assert scale is not None, "arms without scores were left out"
    learned, tried = _halves(judged)
    curve = fit_curve(learned.raws.tolist(), (learned.right > 0).tolist(), scale, method)
    calibration = Calibration(
        model=author,
        n_problems=len(learned.problems),
        n_answers=len(learned.raws),
        verifier=judge,
        scale=scale,
        curve=curve,
    )
    write_atomically(path, calibration.text())
    after = tried.rescaled(np.array(curve.chances(tried.raws.tolist())))
    rows = {"as it was": tried, f"after {method}": after}
    return Fit(
        path,
        _about("answers", calibration, tried),
        _sheet("Calibration, on problems that it has not seen", rows),
        {"method": method, "held_out": {name: _values(each) for name, each in rows.items()}},
        after,
    )


def train(arm: Arm, path: Path) -> Fit:
    """Fit a probe on the log-probabilities of an arm, and write it.

    Raises:
        ConfigError: The run does not tell who wrote, has no log-probabilities, or teaches nothing.
    """
    author, answers = arm.author, _written(arm)
    out = held_out([answer.problem for answer in answers])
    learned = [answer for answer, held in zip(answers, out, strict=True) if not held]
    tried = [answer for answer, held in zip(answers, out, strict=True) if held]
    if not learned or not tried:
        raise _too_few()
    probe = fit_probe(learned, author)
    write_atomically(path, probe.text())
    rows = _by_length(probe, tried)
    whole = _judged(tried, [probe.chance(a.logprobs, a.ended) for a in tried])
    return Fit(
        path,
        _about("answers and beginnings of answers", probe, whole),
        _sheet("Probe, on problems that it has not seen", rows),
        {"held_out": {name: _values(each) for name, each in rows.items()}},
        whole,
    )


def _halves(judged: Judged) -> tuple[Judged, Judged]:
    out = held_out(judged.problems)
    if out.all() or not out.any():
        raise _too_few()
    return judged.of_problems(~out), judged.of_problems(out)


def _too_few() -> ConfigError:
    return ConfigError(
        "There are too few problems to fit on one half and try on the other.",
        hint="Take a run with more of them.",
    )


def _written(arm: Arm) -> list[Written]:
    """What can be learned from: answers, not samples without one."""
    found = []
    for samples in arm.samples:
        pool = arm.pools[samples.problem.id]
        for node, key, right in zip(samples.trajectories, pool.keys, pool.correct, strict=True):
            if node.logprobs is None:
                raise ConfigError(
                    f"The samples of {arm.name} in {arm.folder} hold no log-probabilities.",
                    hint="Run it with keep=tokens verifier=likelihood.",
                )
            if key is not None and node.logprobs:
                ended = node.finish == "stop"
                found.append(Written(samples.problem.id, node.logprobs, ended, right))
    return found


def _by_length(probe: ProbeFit, answers: Sequence[Written]) -> dict[str, Judged]:
    """The probe, and the likelihood beside it, on beginnings of some lengths, and on the whole."""
    found = {}
    size = GROUP
    while (longer := [a for a in answers if len(a.logprobs) > size]) and _mixed(longer):
        cut = [a.logprobs[:size] for a in longer]
        found[f"probe, {size} tokens"] = _judged(longer, [probe.chance(c, False) for c in cut])
        found[f"likelihood, {size} tokens"] = _judged(longer, [_likelihood(c) for c in cut])
        size *= 2
    chances = [probe.chance(a.logprobs, a.ended) for a in answers]
    found["probe, whole answers"] = _judged(answers, chances)
    likely = [_likelihood(a.logprobs) for a in answers]
    found["likelihood, whole answers"] = _judged(answers, likely)
    return found


def _likelihood(logprobs: Sequence[float]) -> float:
    """One over the perplexity, as of `tts.verifiers.Likelihood`."""
    return min(1.0, math.exp(math.fsum(logprobs) / len(logprobs)))


def _mixed(answers: Sequence[Written]) -> bool:
    return len({answer.right for answer in answers}) == 2


def _judged(answers: Sequence[Written], chances: Sequence[float]) -> Judged:
    names = tuple(dict.fromkeys(answer.problem for answer in answers))
    places = {name: place for place, name in enumerate(names)}
    return Judged(
        names,
        np.array([places[answer.problem] for answer in answers], dtype=np.intp),
        np.array(chances, dtype=np.float64),
        np.array([answer.right for answer in answers], dtype=np.float64),
        ("",) * len(names),
        0,
        True,
    )


def _values(judged: Judged) -> dict[str, Any]:
    within = list(judged.auc_by_problem().values())
    meant = reliability(judged.raws, judged.right) if judged.probable else None
    auc = judged.auc()
    return {
        "n_problems": len(judged.problems),
        "n_answers": len(judged.raws),
        "auc": None if np.isnan(auc) else auc,
        "within": float(np.mean(within)) if within else None,
        "ece": meant.ece if meant else None,
        "brier": meant.brier if meant else None,
    }


def _sheet(title: str, rows: dict[str, Judged]) -> Sheet:
    heads = ("", "answers", "AUC %", "within %", "ECE %", "Brier")
    lines = []
    for name, judged in rows.items():
        values = _values(judged)
        shares = ["–" if values[k] is None else f"{100 * values[k]:.1f}" for k in
                  ("auc", "within", "ece")]  # fmt: skip
        brier = "–" if values["brier"] is None else f"{values['brier']:.3f}"
        lines.append((name, f"{values['n_answers']:,}", *shares, brier))
    return Sheet(title, heads, tuple(lines))


def _about(what: str, fit: Calibration | ProbeFit, tried: Judged) -> str:
    return (
        f"The {fit.what} was fitted on {fit.n_answers:,} {what} to {fit.n_problems:,} problems by"
        f" {fit.model.model}, and tried on the other {len(tried.problems):,} problems."
    )
