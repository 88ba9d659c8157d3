"""`tts show`: the search trees of a run, as a page of pictures and as text in the terminal."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from tts.cli.options import Parser
from tts.errors import ConfigError, TTSError
from tts.evaluation.store import PAGE

if TYPE_CHECKING:
    from tts.evaluation.records import Record
    from tts.evaluation.tree_exhibit import Exhibit
    from tts.types import Problem

_ABOUT = """\
Show the search trees of a run: what was written for a problem, how it was judged, and which path
led to the answer. FOLDER is that of a run that kept texts. The first tree is printed here; a page
with pictures of it and of its neighbours is written beside the results, and needs no network."""

_EXAMPLES = """\
examples:
  tts show outputs/demo
  tts show outputs/demo --problem mini-test-5-3
  tts show outputs/demo --arm best_of_n --out trees.html
  tts show outputs/demo --problem mini-test-5-3 --arm best_of_n --text --most 200"""

TREES_A_PAGE, NODES_A_PAGE = 24, 6000
"""Most trees on a page, and most nodes of all but the first: a browser must bear it."""


def main(arguments: Sequence[str]) -> int:
    """Run `tts show`.

    Args:
        arguments: What stands behind the command.

    Returns:
        The exit code.

    Raises:
        ConfigError: The folder holds no trees, or not the one that was asked for.
    """
    asked = _read(arguments)
    records = _records(asked.folder)
    found = _chosen(records, asked)
    exhibits, missing = _exhibits(found, asked)
    _print(exhibits[0], asked.most, missing)
    if not asked.text:
        _write(exhibits, asked)
    _say_what_else(records, found, exhibits, asked)
    return 0


def _read(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser("show", _ABOUT, _EXAMPLES)
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="that of a run")
    parser.add_argument("--problem", metavar="ID", help="only this problem")
    parser.add_argument("--arm", metavar="NAME", help="only this arm")
    parser.add_argument("--repeat", metavar="K", type=int, help="only this repetition, from 0")
    parser.add_argument(
        "--most", metavar="N", type=int, default=40,
        help="most pieces beside the path of the answer that are printed (default: 40)",
    )  # fmt: skip
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--out", metavar="FILE", type=Path, help=f"the page (FOLDER/{PAGE})")
    where.add_argument("--text", action="store_true", help="write no page")
    asked = parser.parse_args(list(arguments))
    if asked.most < 0:
        raise ConfigError(f"--most is {asked.most}; it must be at least 0.")
    if asked.out and not asked.out.absolute().parent.is_dir():
        raise ConfigError(f"--out: there is no folder {asked.out.absolute().parent}.")
    return asked


def _records(folder: Path) -> list[Record]:
    """The last record under each key: problem by problem, and of each arm by arm."""
    # Late: help and slips of the pen are answered at once.
    from tts.evaluation.store import RESULTS, modernise, read

    if not folder.is_dir():
        raise ConfigError(f"There is no folder {folder}.", hint="Name the folder of a run.")
    if not (folder / RESULTS).is_file():
        inside = sorted(path.parent for path in folder.glob(f"**/{RESULTS}"))
        hint = f"Name the folder of a run, such as {inside[0]}." if inside else ""
        raise ConfigError(f"{folder} holds no {RESULTS}.", hint=hint or "Name the folder of a run.")
    modernise(folder)
    last = {record.file_key: record for record in read(folder / RESULTS)}
    if not last:
        raise ConfigError(f"No problem of {folder} has ended yet.", hint="Wait for the first one.")
    problems = _places(record.problem_id for record in last.values())
    arms = _places(record.arm for record in last.values())
    return sorted(last.values(), key=lambda r: (problems[r.problem_id], arms[r.arm], r.repeat))


def _places(names: Iterable[str]) -> dict[str, int]:
    return {name: place for place, name in enumerate(dict.fromkeys(names))}


def _chosen(records: Sequence[Record], asked: argparse.Namespace) -> list[Record]:
    """The records that were asked for."""
    where = str(asked.folder)
    for option, field in (("problem", "problem_id"), ("arm", "arm"), ("repeat", "repeat")):
        value = getattr(asked, option)
        if value is None:
            continue
        there = list(dict.fromkeys(str(getattr(record, field)) for record in records))
        records = [record for record in records if getattr(record, field) == value]
        if not records:
            raise ConfigError(
                f"--{option}: {where} has no {option} {value}.", hint=_offer(str(value), there)
            )
        where += f", {option} {value},"
    return list(records)


def _offer(value: str, there: Sequence[str]) -> str:
    if starting := [name for name in there if name.startswith(value)]:
        return f"Did you mean {_few(starting, ' or ')}?"
    if close := get_close_matches(value, there, n=1):
        return f"Did you mean {close[0]}?"
    return f"There are {len(there)}: {_few(there)}." if there[1:] else f"There is only {there[0]}."


def _few(names: Sequence[str], between: str = ", ") -> str:
    return between.join([*names[:5], "…"] if len(names) > 5 else names)


def _exhibits(records: Sequence[Record], asked: argparse.Namespace) -> tuple[list[Exhibit], str]:
    """As many trees as a page bears, and why a question is missing from them, if one is."""
    from tts.evaluation.store import Trees
    from tts.evaluation.tree_exhibit import Exhibit

    trees = Trees(asked.folder)
    questions, missing = _questions(asked.folder)
    found: list[Exhibit] = []
    nodes = 0
    for record in (record for record in records if record.file_key in trees):
        tree = trees[record.file_key]
        nodes += len(tree.nodes)
        if found and (asked.text or len(found) == TREES_A_PAGE or nodes > NODES_A_PAGE):
            break
        # An id of a task that has changed since may mean another problem by now.
        question = questions.get((record.problem_id, record.gold), "")
        found.append(Exhibit(tree, record, question))
    if not found:
        raise ConfigError(
            f"{asked.folder} kept no trees of what was asked for.", hint="Run it with keep=texts."
        )
    return found, missing


def _questions(folder: Path) -> tuple[Mapping[tuple[str, str | None], str], str]:
    """What was asked, by id and right answer; and why that cannot be told, if it cannot."""
    from tts.cli.adjust import adjusted
    from tts.cli.build import build

    try:
        task = build("task", adjusted(folder, (), None)["task"])
        return {(item.problem.id, item.gold): _asked(item.problem) for item in task}, ""
    except TTSError as error:
        return {}, f"The questions are not shown: {error}"


def _asked(problem: Problem) -> str:
    return problem.prompt or "\n\n".join(message.content for message in problem.messages)


def _print(exhibit: Exhibit, most: int, missing: str) -> None:
    from rich.console import Console

    from tts.evaluation.tree_text import tree_text

    console = Console(highlight=False)
    console.print(tree_text(exhibit, most=most))
    console.print()
    if missing:
        console.print(missing, style="yellow", markup=False)


def _write(exhibits: Sequence[Exhibit], asked: argparse.Namespace) -> None:
    from tts.evaluation.store import write_atomically
    from tts.evaluation.tree_page import tree_page

    path = asked.out or asked.folder / PAGE
    write_atomically(path, tree_page(exhibits))
    trees = "this tree" if len(exhibits) == 1 else f"this tree and {len(exhibits) - 1} more"
    print(f"{path} shows {trees}.")


def _say_what_else(
    records: Sequence[Record],
    found: Sequence[Record],
    exhibits: Sequence[Exhibit],
    asked: argparse.Namespace,
) -> None:
    """How to get at what is neither printed nor on the page."""
    if len(exhibits) < len(found) or len(found) < len(records):
        problems = list(dict.fromkeys(record.problem_id for record in records))
        arms = list(dict.fromkeys(record.arm for record in records))
        print(f"--problem chooses among {len(problems):,}: {_few(problems)}")
        if len(arms) > 1:
            print(f"--arm chooses among {len(arms)}: {', '.join(arms)}")
