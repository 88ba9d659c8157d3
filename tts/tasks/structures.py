"""Where structures of answers come from: a configuration, and the requests of an OpenAI Batch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tts.errors import ConfigError
from tts.types import Structure


def read_structure(
    *,
    json_schema: str | None = None,
    regex: str | None = None,
    choice: Sequence[str] = (),
    grammar: str | None = None,
    after: str = "",
) -> Structure | None:
    """The structure that a configuration describes; None if it says nothing. See `Structure`.

    Args:
        json_schema: Path of a file with a JSON schema.
        regex: A regular expression.
        choice: Texts.
        grammar: Path of a file with a grammar.
        after: Text behind which the structure begins.

    Raises:
        ConfigError: A file cannot be read, several are given, or a text cannot be used.
    """
    said: dict[str, Any] = {
        "json_schema": None if json_schema is None else _schema(json_schema),
        "regex": regex,
        "choice": tuple(choice),
        "grammar": None if grammar is None else _read("grammar", grammar),
    }
    if all(value in (None, ()) for value in said.values()):
        if after:
            raise ConfigError(
                f"structure.after is {after!r}, and nothing says what comes behind it.",
                hint="Set structure.json_schema, regex, choice or grammar.",
            )
        return None
    try:
        return Structure(**said, after=after)
    except ValueError as error:
        raise ConfigError(f"structure: {error}.", hint="Leave the others null.") from error


def read_response_format(said: object) -> Structure | None:
    """What a `response_format` of OpenAI's protocol asks for; None for any text.

    Raises:
        ValueError: It cannot be understood; the message says why.
    """
    kind = said.get("type") if isinstance(said, Mapping) else None
    if not isinstance(said, Mapping) or kind not in ("text", "json_object", "json_schema"):
        raise ValueError(
            "'response_format' must have the type 'text', 'json_object' or 'json_schema'"
        )
    if kind == "text":
        return None
    if kind == "json_object":
        return Structure(json_schema={"type": "object"})
    holder = said.get("json_schema")
    schema = holder.get("schema") if isinstance(holder, Mapping) else None
    if not isinstance(schema, Mapping):
        raise ValueError("'response_format' holds no object json_schema.schema")
    return Structure(json_schema=schema)


def _schema(path: str) -> Mapping[str, Any]:
    try:
        schema = json.loads(_read("json_schema", path))
    except ValueError as error:
        raise ConfigError(f"structure.json_schema: {path} holds no JSON ({error}).") from error
    if not isinstance(schema, dict):
        raise ConfigError(
            f"structure.json_schema: {path} holds a {type(schema).__name__}, not an object.",
            hint='A schema is an object such as {"type": "integer"}.',
        )
    return schema


def _read(field: str, path: str) -> str:
    try:
        return Path(path).expanduser().read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(
            f"structure.{field}: there is no file {path}.", hint="Name a file."
        ) from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"structure.{field}: {path} cannot be read ({error}).") from error
