"""Keeps keys out of messages: a scrubber for texts, and a check of base URLs.

Knows nothing of HTTP. Whatever a server says passes through a `Scrubber` before it reaches a log,
an exception or a file.
"""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

from tts.errors import ConfigError

NO_KEY = "none"  # what is sent where no key is set; local servers ask for none
_MARK = "[secret]"
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_LOOKS_SECRET = re.compile(
    r"\bsk-[\w*.\-]{3,}"  # a key of the usual form, also a masked one
    r"|(?<=Bearer )\S+"
    r"|(?<=://)[^/\s@]+(?=@)",  # the user part of a URL
    re.IGNORECASE,
)
_LONGEST = 500  # characters of a server's message that are shown


class Scrubber:
    """Takes the key, and whatever looks like one, out of texts.

    Args:
        key: The key; not kept where it could be printed.
    """

    __slots__ = ("_key",)

    def __init__(self, key: str) -> None:
        self._key = key if key != NO_KEY else ""

    def __call__(self, text: object) -> str:
        """The text on one line, without secrets, and of bounded length."""
        said = str(text)
        if self._key:
            said = said.replace(self._key, _MARK)
        said = " ".join(_LOOKS_SECRET.sub(_MARK, said).split())
        return said if len(said) <= _LONGEST else said[:_LONGEST] + "…"


def read_key(variable: str) -> str:
    """The key in an environment variable, or `NO_KEY`.

    Raises:
        ConfigError: That is no name of a variable, or no HTTP header can carry what it holds.
    """
    if not _NAME.fullmatch(variable):  # the key itself, perhaps: it is not shown
        raise ConfigError(
            "backend.api_key_env is no name of an environment variable.",
            hint="Put the key into a variable, and give the variable's name here.",
        )
    key = os.environ.get(variable, "").strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(
            f"backend.api_key_env: the key in ${variable} holds characters that no key has.",
            hint="Set the variable anew, with the key alone.",
        )
    return key or NO_KEY


def check_url(url: str) -> str:
    """A base URL without a slash at its end.

    Raises:
        ConfigError: It is no HTTP address, or carries more than host and path.
    """
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise _no_address() from None
    if parts.username or parts.password:
        raise ConfigError(
            "backend.base_url holds a user name or a password, which would end up in records.",
            hint="Put the key into an environment variable and name it in backend.api_key_env.",
        )
    if parts.query or parts.fragment:
        raise ConfigError(
            "backend.base_url must end with its path; it has a query or a fragment.",
            hint="Give it like http://127.0.0.1:8000/v1.",
        )
    if not fine:
        raise _no_address()
    return url.rstrip("/")


def _no_address() -> ConfigError:
    return ConfigError(
        "backend.base_url is no address of the form http://host:port/v1.",
        hint="Give the part before /chat/completions, most often ending in /v1.",
    )
