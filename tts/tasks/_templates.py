"""Jinja2 with complaints in one sentence; imported when the first template is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tts.errors import ConfigError

if TYPE_CHECKING:
    import jinja2


def compiled(template: str, setting: str) -> jinja2.Template:
    """A template that complains of names that it does not find.

    Args:
        template: Its text.
        setting: What it is called in the configuration.

    Raises:
        ConfigError: It is no template.
    """
    import jinja2

    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False
    )
    try:
        return environment.from_string(template)
    except jinja2.TemplateError as error:
        raise ConfigError(f"{setting} cannot be used: {error}.") from error


def render(template: jinja2.Template, row: Mapping[str, Any], setting: str) -> str:
    """The template filled in.

    Raises:
        ConfigError: It asks for what is not there.
    """
    import jinja2

    try:
        return template.render(row)
    except (jinja2.TemplateError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{setting} cannot be used: {error}.", hint=f"It may use: {', '.join(sorted(row))}."
        ) from error
