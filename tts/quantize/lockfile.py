"""What the environment of llm-compressor is made of: the pins of `requirements/quantize.lock`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tts.errors import ConfigError

_NAME = "quantize.lock"


@dataclass(frozen=True, slots=True)
class Lock:
    """Packages and their versions.

    Attributes:
        pins: Version by normal name (`huggingface-hub`).
        digest: 12 hexadecimal digits over all of them.
    """

    pins: Mapping[str, str]
    digest: str


def normal(name: str) -> str:
    """A package's name as it is compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def parse(text: str) -> Lock:
    """Read `name==version` lines; comments and empty lines are skipped.

    Raises:
        ConfigError: A line is no pin.
    """
    pins = {}
    for line in text.splitlines():
        bare = line.partition("#")[0].strip()
        if not bare:
            continue
        name, equals, version = bare.partition("==")
        if not equals:
            raise ConfigError(f"{_NAME}: {line!r} is no pin.", hint="Install the package again.")
        pins[normal(name)] = version
    said = "\n".join(f"{name}=={pins[name]}" for name in sorted(pins))
    return Lock(pins, hashlib.blake2b(said.encode(), digest_size=6).hexdigest())


def read_lock() -> Lock:
    """The lock file: inside the installed package, or beside it in a checkout.

    Raises:
        ConfigError: It is in neither place.
    """
    package = Path(__file__).parents[1]
    for place in (package, package.parent):
        file = place / "requirements" / _NAME
        if file.is_file():
            return parse(file.read_text())
    raise ConfigError(f"{_NAME} is missing beside {package}.", hint="Install the package again.")
