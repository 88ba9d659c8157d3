"""`tts plan`: what to do with problems of each difficulty, from arms that have been run."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tts._author import Author
from tts.cli.options import Parser
from tts.errors import ConfigError

if TYPE_CHECKING:
    from tts.evaluation.arms import Tried

_ABOUT = """
Fit a plan for strategy=by_difficulty: which method, with how many samples, for problems of which
difficulty. RESULTS are folders of runs of one model on the same problems, with whatever arms there
are to choose from. Arms that draw whole answers (self_consistency, best_of_n, weighted_best_of_n)
offer every smaller number of samples as well; the pilot is the first samples of the first of them.
The budget is a mean over all problems, and the pilot is paid from it. What the plan is worth is
found two-fold: each half of the problems under the plan that was fitted to the other half.
With --by regression each method's chance to be right, and its tokens, are forecast problem by
problem from all that the pilot tells; take it with a verifier and --signal score.
"""
_EXAMPLES = """
examples:
  tts plan outputs/curves --budget 2000 --out plan.json
  tts plan outputs/curves --budget 700 --by regression --signal score --pilot 2 --out plan.json
  tts run strategy=by_difficulty strategy.plan=plan.json
"""


def main(arguments: Sequence[str]) -> int:
    """Run `tts plan`.

    Args:
        arguments: What stands behind the command.

    Returns:
        The exit code.

    Raises:
        ConfigError: A folder or an argument cannot be used.
    """
    asked = _read(arguments)
    # Late: help and slips of the pen are answered at once.
    from tts.cli._plans import by_bins, by_regression
    from tts.evaluation.arms import options, pilots
    from tts.evaluation.store import write_atomically

    model = _model(asked.results)
    found = [arm for folder in asked.results for arm in _arms(folder)]
    tried, verifier = [arm for arm, _ in found], _verifier(name for _, name in found)
    drawn = pilots(tried, asked.pilot, asked.signal)
    if not drawn:
        scored = " that are scored" if asked.signal == "score" else ""
        raise ConfigError(
            f"No arm holds {asked.pilot} independent samples{scored} of every problem.",
            hint="Name a run of self_consistency or best_of_n, or lower --pilot.",
        )
    fit = by_regression if asked.by == "regression" else by_bins
    plan = fit(*options(tried, asked.pilot), drawn, asked, model)
    if asked.out:
        write_atomically(asked.out, json.dumps(plan.model_dump(mode="json"), indent=1) + "\n")
        words = ["strategy=by_difficulty", f"strategy.plan={asked.out}"]
        words += [f"verifier={verifier}"] if verifier else []
        print(f"\ntts run {shlex.join(words)}")
    return 0


def _read(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser("plan", _ABOUT, _EXAMPLES)
    parser.add_argument("results", metavar="RESULTS", type=Path, nargs="+", help="folders of runs")
    parser.add_argument(
        "--budget", type=float, required=True, metavar="N", help="completion tokens a problem"
    )
    parser.add_argument(
        "--by", choices=("bins", "regression"), default="bins",
        help="how to choose: by bins of one signal (the default), or by a regression on several",
    )  # fmt: skip
    parser.add_argument("--pilot", type=int, default=4, metavar="K", help="samples of it (4)")
    parser.add_argument(
        "--signal", choices=("agreement", "score"), default="agreement",
        help="what the pilot measures: agreement of the answers, or the verifier's scores; a"
        " regression reads lengths, too, and with scores the agreement as well",
    )  # fmt: skip
    parser.add_argument("--bins", type=int, default=5, metavar="B", help="most bins (5)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the plan to this file")
    asked = parser.parse_args(list(arguments))
    for name in ("pilot", "bins"):
        if getattr(asked, name) < 1:
            raise ConfigError(f"--{name} is {getattr(asked, name)}; it must be at least 1.")
    if not asked.budget > 0:
        raise ConfigError(f"--budget is {asked.budget:g}; it must be above 0.")
    if asked.out and not asked.out.absolute().parent.is_dir():
        raise ConfigError(f"--out: there is no folder {asked.out.absolute().parent}.")
    return asked


def _model(folders: Sequence[Path]) -> Author:
    """Whose answers these are; one model's."""
    from tts.cli._recorded import read_json

    found = {
        Author.recorded(entry)
        for folder in folders
        for entry in read_json(folder, "provenance.json")["backends"]
    }
    if len(found) != 1:
        names = ", ".join(sorted(author.model for author in found))
        raise ConfigError(
            f"The runs are of {len(found)} models ({names}), and a plan is for one.",
            hint="Name runs of one model.",
        )
    return found.pop()


def _verifier(names: Iterable[str | None]) -> str | None:
    """The verifier by which arms have chosen; one, as a plan is run with one."""
    found = sorted({name for name in names if name})
    if len(found) > 1:
        raise ConfigError(
            f"The arms choose by {len(found)} verifiers ({', '.join(found)}), and a plan is run"
            " with one.",
            hint="Name runs with one verifier.",
        )
    return found[0] if found else None


def _arms(folder: Path) -> Iterator[tuple[Tried, str | None]]:
    """The arms of a run, and the verifier of those that need one."""
    from tts.cli._recorded import nodes, read_config, read_json
    from tts.cli.compose import composer
    from tts.evaluation.arms import Tried
    from tts.evaluation.store import RESULTS, modernise, read
    from tts.strategies._plan import make_strategy

    rows = {row["strategy"]: row for row in read_json(folder, "summary.json")}
    modernise(folder)
    records = {r.file_key: r for r in read(folder / RESULTS)}.values()
    with composer(None) as known:
        made = dict(nodes(known, read_config(folder), list(rows), "strategy", ["selector"]))
    for label, row in rows.items():
        node = made[label] | ({"n": row["n"]} if row.get("n") is not None else {})
        needs = make_strategy(node).requires  # and so a plan holds nothing that cannot be made
        mine = [r for r in records if r.arm == label]
        fixed = row["controller"] == "fixed" and not row["budget"]
        yield Tried(label, node, mine, fixed), row["verifier"] if _JUDGED in needs else None


_JUDGED = "verifier"  # `Capability.VERIFIER`
