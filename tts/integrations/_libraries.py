"""Libraries that are not installed by default."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from tts.errors import ConfigError


def library(name: str, extra: str) -> ModuleType:
    """Import a library.

    Args:
        name: Of the module.
        extra: The extra of this package that brings it.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"{name.partition('.')[0]} is not installed: {error}.",
            hint=f"pip install 'tts-scaling[{extra}]'",
        ) from error
