"""From a resolved configuration to objects: everything but the engine's start."""

from __future__ import annotations

import inspect
import logging
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from pydantic import TypeAdapter, ValidationError

from tts.cli.complaints import in_words, must_be, shown, unknown_field
from tts.errors import ConfigError

_SCALARS = (int, float, bool, str, Path, types.NoneType)
_MARKS = ("_target_", "_args_", "_recursive_", "_convert_", "_partial_")


def build(where: str, node: Mapping[str, Any] | None) -> Any:
    """Make the object that a node describes; None if it names no target.

    Args:
        where: Path of the node, such as 'strategy'.
        node: `_target_` and its arguments.

    Raises:
        TTSError: It cannot be made; the message says why, with fields as the user writes them.
    """
    if not node or not node.get("_target_"):
        return None
    node = _checked(where, node)
    try:
        return instantiate(dict(node), _convert_="all")
    except InstantiationException as error:
        raise in_words(_origin(error), where, node) from error


def integer(config: Mapping[str, Any], key: str, least: int | None = None) -> int:
    """A whole number at the top of the configuration.

    Raises:
        ConfigError: It is none, or below `least`.
    """
    value = config[key]
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigError(f"{key} is {value!r}; it must be a whole number.", hint=f"Set {key}=1.")
    if least is not None and value < least:
        raise ConfigError(f"{key} is {value}; it must be at least {least}.", hint=f"Set {key}.")
    return value


def _origin(error: BaseException) -> Exception:
    """What the constructor itself raised."""
    cause: BaseException = error
    while isinstance(cause, InstantiationException) and cause.__cause__ is not None:
        cause = cause.__cause__
    return cause if isinstance(cause, Exception) else InstantiationException(str(error))


def _checked(where: str, node: Mapping[str, Any]) -> dict[str, Any]:
    """The node with its plain values checked against the target's signature, and converted."""
    target = _target(where, node["_target_"])
    parameters = inspect.signature(target).parameters
    hints = _hints(target)
    checked: dict[str, Any] = {}
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    for name, value in node.items():
        path = f"{where}.{name}"
        if name in _MARKS:
            checked[name] = value
        elif name not in parameters and not open_ended:
            raise unknown_field(path, [f"{where}.{p}" for p in parameters])
        else:
            checked[name] = _nested(path, value, hints.get(name))
    return checked


def _nested(path: str, value: Any, hint: Any) -> Any:
    """The value of a field, or of an entry of a field with several parts, by name."""
    if isinstance(value, Mapping) and "_target_" in value:
        return _checked(path, value) if value["_target_"] else None
    if isinstance(value, Mapping) and any(_is_part(entry) for entry in value.values()):
        return {key: _nested(f"{path}.{key}", entry, None) for key, entry in value.items()}
    return _converted(path, value, hint)


def _is_part(entry: Any) -> bool:
    return isinstance(entry, Mapping) and "_target_" in entry


def _target(where: str, name: str) -> Any:
    logging.getLogger("hydra").addHandler(logging.NullHandler())  # we say it ourselves
    try:
        return get_object(name)
    except Exception as error:  # whatever goes wrong while somebody's module is imported
        why = str(error.__cause__ or error).strip().splitlines()[0]
        raise ConfigError(
            f"{where}._target_ is {name}, which cannot be imported: {why.rstrip('.')}.",
            hint="Write package.module.Class.",
        ) from error


def _hints(target: Any) -> dict[str, Any]:
    try:
        return get_type_hints(target.__init__ if inspect.isclass(target) else target)
    except (NameError, TypeError):  # annotations that only a type checker can see
        return {}


def _converted(path: str, value: Any, hint: Any) -> Any:
    """A plain value as its annotation wants it; values of richer types pass as they are."""
    if hint is None or isinstance(value, Mapping) or not _is_plain(hint):
        return value
    try:
        return TypeAdapter(hint).validate_python(value)
    except ValidationError as error:
        message = f"{path} is {shown(value)}; it must be {must_be(error.errors()[0]['msg'])}."
        raise ConfigError(message, hint=f"Set {path}.") from error


def _is_plain(hint: Any) -> bool:
    """Whether an annotation speaks of plain values and sequences of them alone."""
    if get_origin(hint) in (Union, types.UnionType, list, tuple, Sequence):
        return all(part is ... or _is_plain(part) for part in get_args(hint))
    return hint in _SCALARS or get_origin(hint) is Literal
