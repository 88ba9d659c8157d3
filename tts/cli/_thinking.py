"""How the user says on the command line how a model thinks, where its run does not say it."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tts.errors import ConfigError

if TYPE_CHECKING:
    from tts.watching import Thinking

_FIELDS = ("start", "end", "step", "reflections")


def add_thinking(parser: argparse.ArgumentParser) -> None:
    """Add the option `--thinking FIELD=VALUE`, which may be given several times."""
    parser.add_argument(
        "--thinking", type=_pair, action="append", default=[], metavar="FIELD=VALUE",
        help="how the model thinks, where it is not as the run says: start and end (tags), step"
        " (\\n is a line's end), reflections (Wait,Hmm,...)",
    )  # fmt: skip


def thinking_of(source: Path, pairs: Iterable[tuple[str, str]]) -> Thinking:
    """What the configuration of a run says, changed by the option; the defaults for a file.

    Raises:
        ConfigError: The configuration cannot be read.
    """
    from tts.cli.build import build

    told: dict[str, Any] = dict(pairs)
    if "reflections" in told:
        told["reflections"] = [word.strip() for word in told["reflections"].split(",")]
    found: Thinking = build("thinking", {"_target_": "tts.Thinking", **_saved(source), **told})
    return found


def _saved(source: Path) -> Mapping[str, Any]:
    import yaml

    from tts.evaluation.store import CONFIG

    path = source / CONFIG
    if not path.is_file():
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from error
    node = content.get("thinking") if isinstance(content, dict) else None
    return node if isinstance(node, dict) else {}


def _pair(text: str) -> tuple[str, str]:
    field, equals, value = text.partition("=")
    if field not in _FIELDS or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not FIELD=VALUE with one of {_FIELDS}")
    words = value.split(",") if field == "reflections" else [value]
    if field in ("step", "reflections") and not all(words):
        raise argparse.ArgumentTypeError(f"{field} must not be empty")
    return field, value.replace("\\n", "\n")
