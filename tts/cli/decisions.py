"""`tts decisions`: a controller's decisions, taken again from the records of a run."""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tts.cli.options import Parser
from tts.errors import ConfigError

if TYPE_CHECKING:
    from tts.budget.replay import Difference
    from tts.evaluation.records import Record
    from tts.protocols import Controller
    from tts.types import Grant, Stop

_ABOUT = """
Take all decisions of a run's controllers again, each on the evidence on which it was taken, and say
where they come out another way, be it in the words of their reason. RUN is the folder of a run.
With OVERRIDEs another controller decides in their place: where it would have granted another number
of samples at one of those points.

Nothing is drawn and no model is asked. Exit code 0: all decisions are the same; 1: some differ.
"""
_EXAMPLES = """
examples:
  tts decisions outputs/my-run
  tts decisions outputs/my-run controller=beta controller.threshold=0.9
"""
_SHOWN = 5


def main(arguments: Sequence[str]) -> int:
    """Run `tts decisions`.

    Args:
        arguments: What stands behind the command.

    Returns:
        The exit code.

    Raises:
        ConfigError: The folder or an override cannot be used, or there are no decisions in it.
    """
    asked = _read(arguments)
    # Late: help and slips of the pen are answered at once.
    from tts.budget.replay import replay

    taken = _decisions(asked.run)
    controllers = _controllers(asked, list(taken))
    found = {label: replay(controllers[label], logged) for label, logged in taken.items()}
    if asked.overrides:  # another controller has other words for the same
        found = {label: [d for d in each if _counts(d)] for label, each in found.items()}
    _show(found, taken, controllers, asked.most)
    return 1 if any(found.values()) else 0


def _read(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser("decisions", _ABOUT, _EXAMPLES)
    parser.add_argument("run", metavar="RUN", type=Path, help="folder of a run")
    parser.add_argument(
        "overrides", metavar="OVERRIDE", nargs="*", help="another controller, as for `tts run`"
    )
    parser.add_argument(
        "--most", type=int, default=_SHOWN, metavar="N", help=f"differences to show ({_SHOWN})"
    )
    asked = parser.parse_intermixed_args(list(arguments))
    for override in asked.overrides:
        if override.partition("=")[0].split(".")[0] != "controller":
            raise ConfigError(
                f"tts decisions: {override} does not choose a controller.",
                hint="Give controller=NAME and controller.FIELD=VALUE alone.",
            )
    if asked.most < 0:
        raise ConfigError(f"--most is {asked.most}; it must be at least 0.")
    return asked


def _decisions(folder: Path) -> dict[str, list[Grant | Stop]]:
    """What was decided, by the label of the arm."""
    from tts.evaluation.decisions import decisions
    from tts.evaluation.store import RESULTS, modernise, read

    if not (folder / RESULTS).exists():
        raise ConfigError(f"{folder} holds no {RESULTS}.", hint="Name the folder of a run.")
    modernise(folder)
    by_arm: defaultdict[str, list[Record]] = defaultdict(list)
    for record in read(folder / RESULTS):
        if record.decisions:
            # Candidates are of no use here, and many.
            by_arm[record.arm].append(record.model_copy(update={"candidates": ()}))
    if not by_arm:
        raise ConfigError(
            f"{folder} holds no decisions.",
            hint="Strategies such as self_consistency and best_of_n ask their controller.",
        )
    return {label: list(decisions(records)) for label, records in by_arm.items()}


def _controllers(asked: argparse.Namespace, labels: Sequence[str]) -> dict[str, Controller]:
    """Who decides, by the label of the arm."""
    from tts.cli.build import build
    from tts.cli.compose import composer

    with composer(None) as known:
        if asked.overrides:
            node = known.compose(asked.overrides).controller
            return dict.fromkeys(labels, build("controller", _plain(node)))
        found = dict(_recorded(known, asked.run, labels))
    missing = [label for label in labels if label not in found]
    if missing:
        raise ConfigError(
            f"{asked.run / 'config.yaml'} says nothing of the arm {missing[0]!r}.",
            hint="Name its controller, such as controller=beta.",
        )
    return {label: build("controller", found[label]) for label in labels}


def _counts(difference: Difference) -> bool:
    """Whether another number of samples is granted, or a decision is there on one side alone."""
    from tts.types import Grant

    was, now = difference.logged, difference.again
    if was is None or now is None:
        return True
    granted = [d.samples if isinstance(d, Grant) else 0 for d in (was, now)]
    return granted[0] != granted[1]


def _recorded(known: Any, run: Path, labels: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    from tts.cli._recorded import nodes, read_config

    yield from nodes(known, read_config(run), labels, "controller")


def _plain(node: Any) -> dict[str, Any]:
    from omegaconf import OmegaConf

    found = OmegaConf.to_container(node, resolve=True)
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}


def _show(
    found: Mapping[str, Sequence[Difference]],
    taken: Mapping[str, Sequence[Grant | Stop]],
    controllers: Mapping[str, Controller],
    most: int,
) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    for name in ("arm", "controller", "decisions", "differ"):
        table.add_column(name, justify="left" if name in ("arm", "controller") else "right")
    for label, differences in found.items():
        name = type(controllers[label]).__name__
        table.add_row(label, name, f"{len(taken[label]):,}", f"{len(differences):,}")
    console = Console(highlight=False)
    console.print(table)
    for label, differences in found.items():
        for difference in differences[:most]:
            console.print(f"{label}: {difference}", markup=False, soft_wrap=True)
        if len(differences) > most:
            console.print(f"{label}: and {len(differences) - most:,} more", markup=False)
