"""`tts analyse`: what was in the chains of a run, and how much of it was needed."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tts.cli._importance import add_importance, carry_out, check_importance, plan
from tts.cli._thinking import add_thinking, thinking_of
from tts.cli.options import Parser
from tts.errors import ConfigError

if TYPE_CHECKING:
    from tts.analysis import Reader
    from tts.evaluation.chains import Group, Portrayed

_ABOUT = """\
Analyse the chains of thought of a run that kept texts: how long they are, how often they reflect,
where their answer is there for the first time, how much comes after it, and which share of their
steps came to nothing; by arm, for right and wrong answers apart, with 95% intervals over problems.
A table and a picture are written beside the results. Nothing is generated, and no model is asked
but with --importance."""

_EXAMPLES = r"""
examples:
  tts analyse outputs/thinker
  tts analyse outputs/thinker --arm self_consistency --json chains.json
  tts analyse outputs/other --thinking end='</reasoning>' --thinking reflections=Wait,Hmm
  tts analyse outputs/thinker --importance --limit 100
  tts analyse outputs/thinker --importance model=/path/to/another --phrasing 'So it is {answer}.'

An OVERRIDE is as for `tts run`."""


def main(arguments: Sequence[str]) -> int:
    """Run `tts analyse`.

    Args:
        arguments: What stands behind the command.

    Returns:
        The exit code.

    Raises:
        ConfigError: The folder holds no texts, or an argument cannot be used.
    """
    asked = _read(arguments)
    # Late: help and slips of the pen are answered at once.
    from tts.analysis import Reader
    from tts.evaluation.chains import groups
    from tts.evaluation.chains_report import entries
    from tts.evaluation.store import CHAINS, CHAINS_PICTURE, IMPORTANCE, IMPORTANCE_PICTURE

    reader = Reader(thinking_of(asked.folder, asked.thinking))
    planned = plan(asked, reader) if asked.importance else None
    chains = _chains(asked, reader)
    found = groups(chains)
    _show(found)
    _draw(asked.folder, chains, found)
    figures, written = {"arms": entries(found)}, [CHAINS, CHAINS_PICTURE]
    if planned:
        figures["importance"] = carry_out(planned, reader)
        written += [IMPORTANCE, IMPORTANCE_PICTURE]
    if asked.json:
        _write(asked, figures)
    print(f"Written to {asked.folder}: {', '.join(written)}.")
    return 0


def _read(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser("analyse", _ABOUT, _EXAMPLES)
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="that of a run")
    parser.add_argument("--arm", metavar="NAME", help="only this arm")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write all figures to this file")
    add_thinking(parser)
    add_importance(parser)
    asked = parser.parse_intermixed_args(list(arguments))
    if not asked.folder.is_dir():
        raise ConfigError(f"There is no folder {asked.folder}.", hint="Name the folder of a run.")
    if asked.json and not asked.json.absolute().parent.is_dir():
        raise ConfigError(f"--json: there is no folder {asked.json.absolute().parent}.")
    check_importance(asked)
    return asked


def _chains(asked: argparse.Namespace, reader: Reader) -> list[Portrayed]:
    from rich.console import Console

    from tts.evaluation.chains import chains_of

    with Console(stderr=True).status("Reading chains"):
        return list(chains_of(asked.folder, reader, asked.arm))


def _show(found: Sequence[Group]) -> None:
    from rich.console import Console

    from tts.evaluation.chains_report import notes, sheets

    console = Console(highlight=False)
    for sheet in sheets(found):
        console.print(sheet.rich(console.width))
        console.print()
    for note in notes(found):
        console.print(note, style="yellow", markup=False)


def _draw(folder: Path, chains: Sequence[Portrayed], found: Sequence[Group]) -> None:
    from tts.evaluation.chains_plot import draw
    from tts.evaluation.chains_report import markdown
    from tts.evaluation.store import CHAINS, CHAINS_PICTURE, write_atomically

    write_atomically(folder / CHAINS, markdown(found))
    draw(chains, folder / CHAINS_PICTURE)


def _write(asked: argparse.Namespace, figures: Mapping[str, Any]) -> None:
    from tts.evaluation.provenance import command_line
    from tts.evaluation.store import write_atomically

    content = {"source": str(asked.folder), "command": command_line(), **figures}
    write_atomically(asked.json, json.dumps(content, indent=1) + "\n")
