"""Complaints of Hydra, OmegaConf, pydantic and constructors, in one sentence and a hint each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from pydantic import ValidationError
from yaml import YAMLError

from tts.errors import ConfigError, TTSError

_OVERRIDE = re.compile(r"Could not (?:override|append|delete) '([^']+)'")


def explain(error: Exception, fields: Sequence[str], groups: Sequence[str]) -> ConfigError:
    """Say in our words what is wrong with a configuration.

    Args:
        error: What Hydra or OmegaConf said.
        fields: Paths of the fields that there are.
        groups: Names of the groups that there are.
    """
    if isinstance(error, MissingConfigException):
        return _missing_choice(error)
    if isinstance(error, OverrideParseException):
        return _unreadable(error.override)
    if isinstance(error, MissingMandatoryValue):
        key = error.full_key or "a field"
        return ConfigError(f"{key} must be given.", hint=f"Add {key}=... to the command.")
    first = str(error).strip().splitlines()[0]
    if match := _OVERRIDE.search(first):
        return unknown_field(match[1].partition("=")[0].lstrip("+~"), fields, groups)
    if isinstance(error, OmegaConfBaseException) and error.full_key:
        first = f"{error.full_key}: {first}"
    return ConfigError(f"The configuration cannot be composed: {first.rstrip('.')}.")


def malformed(error: YAMLError) -> ConfigError:
    """A configuration file is no YAML."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    where = f"{mark.name}, line {mark.line + 1}" if mark else "A configuration file"
    return ConfigError(
        f"{where} cannot be read: {problem or 'it is no YAML'}.",
        hint="Put quotes around what holds brackets, colons or braces.",
    )


def unknown_field(key: str, fields: Sequence[str], groups: Sequence[str] = ()) -> ConfigError:
    """There is no such field, and perhaps one that is meant."""
    known = [f for f in (*fields, *groups) if not f.rpartition(".")[2].startswith("_")]
    # Closest among the fields of the same node first: strategy.m is no typo of task.name.
    parent = key.rpartition(".")[0]
    siblings = [f for f in known if f.rpartition(".")[0] == parent]
    others = [f for f in known if f != parent]
    close = get_close_matches(key, siblings, n=1) or get_close_matches(key, others, n=1, cutoff=0.8)
    if close:
        hint = f"Did you mean {close[0]}?"
    elif parent and siblings:
        hint = f"There are: {', '.join(siblings)}."
    elif parent in known:
        hint = f"What was chosen for {parent} has no fields."
    else:
        hint = "See `tts run --help`, or --cfg job."
    return ConfigError(f"There is no field {key}.", hint=hint)


def in_words(error: Exception, where: str, node: Mapping[str, Any]) -> TTSError:
    """Say in our words why the object of a configuration node could not be made.

    Args:
        error: What its constructor raised.
        where: Path of the node, such as 'strategy'.
        node: Its fields.
    """
    if isinstance(error, TTSError):
        error.message = _named(error.message, where, node)
        return error
    if isinstance(error, ValidationError):
        return _invalid(error, where)
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    message = _named(text, where, node)
    field = re.match(r"[a-z_][\w.]*(?= is )", message)
    if field is None:
        message = f"{where} cannot be made: {message}"
    return ConfigError(_sentence(message), hint=f"Set {field[0] if field else where}.")


def _unreadable(override: str) -> ConfigError:
    hint = "Write group=choice or path.to.field=value, such as strategy.n=8."
    if "[" in override or "{" in override:
        hint = "Quote what stands in brackets, as in '+arms.two=[\"strategy=greedy\"]'."
    return ConfigError(f"{override!r} is no override that can be read.", hint=hint)


def _missing_choice(error: MissingConfigException) -> ConfigError:
    group, _, choice = (error.missing_cfg_file or "").rpartition("/")
    options = sorted(error.options or [])
    close = get_close_matches(choice, options, n=1)
    meant = f"Did you mean {group}={close[0]}? " if close else ""
    offered = f"There are: {', '.join(options)}." if options else "See `tts run --help`."
    return ConfigError(f"There is no {group or 'configuration'} {choice!r}.", hint=meant + offered)


def _invalid(error: ValidationError, where: str) -> ConfigError:
    """The first complaint of pydantic, with the field as the user wrote it."""
    first = error.errors()[0]
    key = ".".join([where, *map(str, first["loc"])])
    said = must_be(first["msg"])
    if first["type"] == "extra_forbidden":
        return ConfigError(f"There is no field {key}.", hint=f"See the fields of {where}.")
    if not first["loc"]:
        return ConfigError(_sentence(f"{where}: {said}"))
    must = "it must be " if "should be" in first["msg"] else ""
    return ConfigError(
        _sentence(f"{key} is {shown(first['input'])}; {must}{said}"), hint=f"Set {key}."
    )


def must_be(message: str) -> str:
    """Pydantic's words without their beginning and without remarks."""
    said = message.removeprefix("Value error, ").removeprefix("Input should be ")
    said = said.replace("an instance of Sequence", "a list")
    return re.split(r", (?:unable|got)", said)[0]


def _named(message: str, where: str, node: Mapping[str, Any]) -> str:
    """Put the node's path before a field that a constructor calls by its bare name."""
    parent, _, last = where.rpartition(".")
    if parent and message.startswith(f"{last}."):
        return f"{parent}.{message}"
    match = re.match(r"([a-z_]\w*) is ", message)
    return f"{where}.{message}" if match and match[1] in node else message


def shown(value: object) -> str:
    """A value as the user wrote it."""
    return "null" if value is None else value if isinstance(value, str) else repr(value)


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else text + "."
