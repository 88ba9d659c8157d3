"""What spans the space of `tts tune-sampling`: values of the sampling, and names of prompts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from tts.errors import ConfigError
from tts.tuning.sampling.space import OWN, read_axis


def read_axes(spanning: Iterable[str]) -> tuple[dict[str, tuple[float, ...]], tuple[str, ...]]:
    """The values of each field of the sampling, and the names of the prompts.

    Args:
        spanning: Words such as `sampling.temperature=0.4,0.8` and `prompt=own,short`.

    Raises:
        ConfigError: A word names no values, no field, or one that was given before.
    """
    axes: dict[str, tuple[float, ...]] = {}
    prompts: tuple[str, ...] = ()
    for word in spanning:
        key, equals, value = word.partition("=")
        values = value.split(",")
        if not equals or not all(part.strip() for part in values):
            raise ConfigError(f"{word} names no values.", hint=f"Write {key}=A,B.")
        name = key.removeprefix("sampling.")
        if name in axes or (key == "prompt" and prompts):
            raise ConfigError(f"{key} is given twice.", hint=f"Write {key}=A,B once.")
        if key == "prompt":
            prompts = tuple(part.strip() for part in values)
        else:
            axes[name] = read_axis(name, values)
    return axes, prompts


def read_prompts(path: Path | None, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The prompts that are asked for: by name, the fields of `task.prompt` that they change.

    Args:
        path: A file of prompts, if there is one.
        names: Those that are asked for.

    Raises:
        ConfigError: The file cannot be used, or has no such prompt.
    """
    try:
        there = OmegaConf.to_container(OmegaConf.load(path)) if path else {}
    except (OSError, YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(f"--prompts: {path} cannot be read: {error}.") from error
    if not isinstance(there, dict) or not all(isinstance(v, dict) for v in there.values()):
        raise ConfigError(
            f"--prompts: {path} must hold names, and below each the fields of task.prompt.",
            hint="Write `short:` and below it `  template: 'Answer: {{ question }}'`.",
        )
    if OWN in there:
        raise ConfigError(
            f"--prompts: {OWN!r} is the task's own prompt.", hint="Give yours another name."
        )
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        if name != OWN and name not in there:
            known = ", ".join([OWN, *map(str, there)])
            raise ConfigError(
                f"There is no prompt {name!r}.",
                hint=f"There are: {known}. --prompts FILE adds some.",
            )
        found[name] = {} if name == OWN else {str(k): v for k, v in there[name].items()}
    return found
