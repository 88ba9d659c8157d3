"""Writes measured tables into model cards, so that no figure is ever copied by hand.

    python -m experiments.mini.cards --card tts/models/mini-reasoner/README.md \
        outputs/mini-reasoner/figures.json outputs/mini_headline/mini-reasoner

A card marks the place of a table by two comments, ``<!-- figures: levels -->`` and
``<!-- end of figures -->``. What stands between them is replaced; all else stays as it is. Tables
come from the JSON of `evaluate`, `evaluate_thinking` and `evaluate_prm`, and from the folder of a
run of `tts` with claims. Of two sources of one kind, one gets a name: ``large=PATH`` makes
``large levels``.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.mini import tables
from tts.errors import ConfigError
from tts.evaluation.store import CLAIMS, PROVENANCE, SUMMARY, write_atomically

_MARKED = re.compile(
    r"(?P<head><!-- figures: (?P<name>[\w -]+?) -->\n).*?(?P<tail><!-- end of figures -->)",
    re.DOTALL,
)


def fill(card: str, made: Mapping[str, str]) -> tuple[str, list[str]]:
    """Put tables in their places.

    Args:
        card: Text with markers.
        made: Tables by name; those that the card has no place for are left out.

    Returns:
        The text, and the names of the tables that it has a place for and that were not given:
        they are as they were.

    Raises:
        ConfigError: The card has no place for any table, or a place without an end.
    """
    places = [match["name"] for match in _MARKED.finditer(card)]
    if not places or len(places) != card.count("<!-- figures: "):
        raise ConfigError(
            "The card has no place for a table, or one without an end.",
            hint="Write <!-- figures: NAME --> and <!-- end of figures --> on lines of their own.",
        )

    def replaced(match: re.Match[str]) -> str:
        if match["name"] not in made:
            return match[0]
        return f"{match['head']}\n{made[match['name']]}\n\n{match['tail']}"

    return _MARKED.sub(replaced, card), [name for name in places if name not in made]


def collected(sources: Sequence[str]) -> dict[str, str]:
    """All tables of all sources, by name.

    Args:
        sources: Paths; ``NAME=PATH`` puts a name before those of its tables.

    Raises:
        ConfigError: One cannot be read, or two have a table of the same name.
    """
    made: dict[str, str] = {}
    for source in sources:
        prefix, equals, path = source.rpartition("=")
        for name, text in made_of(Path(path)).items():
            name = f"{prefix} {name}" if equals else name
            if name in made:
                raise ConfigError(
                    f"Two sources have a table '{name}'.", hint=f"Write one as NAME={path}."
                )
            made[name] = text
    return made


def made_of(source: Path) -> dict[str, str]:
    """All tables of a source, by name.

    Args:
        source: The JSON of one of the `evaluate` modules, or the folder of a run.

    Raises:
        ConfigError: It is none of these.
    """
    if source.is_dir():
        return {"headline": tables.headline(*_run(source))}
    if not source.is_file():
        raise ConfigError(f"There is no file or folder {source}.")
    found = json.loads(source.read_text(encoding="utf-8"))
    kinds = {
        "rechecks": tables.OF_A_THINKER,
        "levels": tables.OF_A_MODEL,
        "auc": tables.OF_A_PRM,
    }
    kind = next((kinds[sign] for sign in kinds if sign in found), None)
    if kind is None:
        raise ConfigError(f"{source} holds no figures of a model.")
    return {name: table(found) for name, table in kind.items()}


def _run(folder: Path) -> tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]], str]:
    """Rows, claims and command of a run."""
    try:
        texts = [(folder / name).read_text(encoding="utf-8") for name in (SUMMARY, CLAIMS)]
        about = json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{folder} is no finished run with claims: {error}.") from error
    rows, claims = map(json.loads, texts)
    return rows, claims, shlex.join(about["command"])


def main() -> None:
    """Reads the command line and rewrites the card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("sources", nargs="+", help="JSON files, folders of runs; perhaps NAME=PATH")
    parser.add_argument("--card", type=Path, required=True, help="README.md of the model")
    arguments = parser.parse_args()
    made = collected(arguments.sources)
    card, left = fill(arguments.card.read_text(encoding="utf-8"), made)
    write_atomically(arguments.card, card)
    if left:
        print(f"Left as they were: {', '.join(left)}.")


if __name__ == "__main__":
    main()
