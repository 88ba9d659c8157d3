"""Asks a server what reward model it serves, once, in plain blocking calls.

Knows vLLM's list of models (`id`, `root`, `max_model_len`) and the two shapes of a pooled answer.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

from tts.engine.head import Head
from tts.engine.text import Text
from tts.errors import ConfigError, ModelNotFound
from tts.verifiers._prm.qwen import MARK

_NO_KEY = "none"  # what is sent where no key is set
_SECONDS = 30.0
_LONGEST = 300  # characters of a server's message that are shown
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Address:
    """A server, and how to talk to it.

    Attributes:
        url: Without a path and without a slash at the end.
        key_name: Variable that holds the key.
        timeout_seconds: Longest wait for a reply.
        retries: Most repetitions of a request.
    """

    url: str
    key_name: str
    timeout_seconds: float
    retries: int
    _key: str = field(repr=False)

    @classmethod
    def read(cls, server: str, api_key_env: str, timeout_seconds: float, retries: int) -> Self:
        """An address from settings.

        Raises:
            ConfigError: One of them cannot be used.
        """
        parts = urlsplit(server)
        bare = not (parts.username or parts.password or parts.query or parts.fragment)
        if parts.scheme not in ("http", "https") or not parts.hostname or not bare:
            raise ConfigError(
                "verifier.server is no address of the form http://host:port/v1.",
                hint="Keys go into an environment variable, named in verifier.api_key_env.",
            )
        if not _NAME.fullmatch(api_key_env):  # the key itself, perhaps: it is not shown
            raise ConfigError(
                "verifier.api_key_env is no name of an environment variable.",
                hint="Put the key into a variable, and give the variable's name here.",
            )
        if not timeout_seconds > 0:
            raise ConfigError(
                f"verifier.timeout_seconds is {timeout_seconds}; it must be positive."
            )
        if retries < 0:
            raise ConfigError(f"verifier.retries is {retries}; it must be at least 0.")
        url = server.rstrip("/").removesuffix("/v1")
        key = os.environ.get(api_key_env, "").strip() or _NO_KEY
        return cls(url, api_key_env, timeout_seconds, retries, key)

    def settings(self) -> dict[str, Any]:
        """For a client of the `openai` package."""
        return {
            "base_url": self.url,
            "api_key": self._key,
            "timeout": self.timeout_seconds,
            "max_retries": self.retries,
        }

    def scrub(self, said: object) -> str:
        """A message on one line, of bounded length, without the key."""
        text = str(said)
        if self._key != _NO_KEY:
            text = text.replace(self._key, "[secret]")
        return " ".join(text.split())[:_LONGEST]

    def card(self, name: str) -> Mapping[str, Any]:
        """The entry of a model in the server's list.

        Raises:
            ConfigError: Nothing answers, or something else.
            ModelNotFound: It does not serve the model.
        """
        said = self._ask("/v1/models", None)
        try:
            cards = {str(card["id"]): card for card in said["data"]}
        except (KeyError, TypeError):
            raise self._wrong() from None
        if name in cards:
            return dict(cards[name])
        close = difflib.get_close_matches(name, cards, n=1)
        hint = f"Did you mean '{close[0]}'? " if close else ""
        raise ModelNotFound(
            f"The server at {self.url} does not serve model '{name}'.",
            hint=f"{hint}It serves {', '.join(cards)}: set verifier.served_name.",
        )

    def pooled(self, name: str, ids: list[int]) -> Any:
        """What the server makes of a few tokens.

        Raises:
            ConfigError: It serves no pooling model, or something else.
        """
        body = {"model": name, "input": ids, "use_activation": False}
        said = self._ask("/pooling", body)
        try:
            return said["data"][0]["data"]
        except (KeyError, IndexError, TypeError):
            raise self._wrong() from None

    def _ask(self, path: str, body: Mapping[str, Any] | None) -> Any:
        import openai

        try:
            seconds = min(_SECONDS, self.timeout_seconds)
            with openai.OpenAI(**{**self.settings(), "timeout": seconds}) as client:
                if body is None:
                    return client.get(path, cast_to=object)
                return client.post(path, cast_to=object, body=body)
        except openai.APIConnectionError as error:
            raise ConfigError(
                f"verifier.server: nothing answers at {self.url}"
                f" ({self.scrub(error.__cause__ or error)}).",
                hint="Start the server, or correct the address.",
            ) from None
        except openai.APIStatusError as error:
            raise self._refused(path, error.status_code, self.scrub(error)) from None
        except (openai.OpenAIError, ValueError):
            raise self._wrong() from None

    def _refused(self, path: str, status: int, said: str) -> ConfigError:
        if status in (401, 403):
            return ConfigError(
                f"The server at {self.url} refuses the key in ${self.key_name} (HTTP {status}).",
                hint=f"Set {self.key_name}, or name another variable in verifier.api_key_env.",
            )
        if status == 404 and path == "/pooling":
            return ConfigError(
                f"The server at {self.url} serves no reward model: it has no /pooling.",
                hint="Start vLLM's server with --runner pooling.",
            )
        return ConfigError(f"The server at {self.url} answers {path} with HTTP {status}: {said}.")

    def _wrong(self) -> ConfigError:
        return ConfigError(
            f"What answers at {self.url} is no vLLM server.", hint="Correct verifier.server."
        )


@dataclass(frozen=True, slots=True)
class Found:
    """What kind of model answers.

    Attributes:
        head: Where its values come from.
        labels: Values in a row.
    """

    head: Head
    labels: int


def probe(address: Address, name: str, text: Text) -> Found:
    """Have the server read a few tokens, and look at the shape of what comes back.

    Raises:
        ConfigError: It gives no values, or those of some tokens only.
    """
    mark = text.token_id(MARK)  # some servers answer at this token only
    ids = [*text.ids_of("1+1"), *([] if mark is None else [mark])]
    values = address.pooled(name, ids)
    if not isinstance(values, list):
        raise ConfigError(f"The server at {address.url} gives no lists of values.")
    if values and not isinstance(values[0], list):
        return Found("sequence", len(values))
    if len(values) != len(ids):
        raise ConfigError(
            f"The server at {address.url} gives values at the ends of steps only.",
            hint='Start it with --pooler-config \'{"tok_pooling_type": "ALL"}\'.',
        )
    return Found("token", len(values[0]))
