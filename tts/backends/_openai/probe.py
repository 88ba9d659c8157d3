"""Asks servers what they are, once, before anything is spent: `GET /models` of each base URL.

Knows vLLM's model card (`owned_by`, `root`, `max_model_len`) and nothing of decoding.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tts.backends._openai.secrets import NO_KEY, Scrubber
from tts.errors import ConfigError, ModelNotFound

_LOG = logging.getLogger("tts.backends.openai")
_SECONDS = 10.0
_MOST_NAMES = 8


@dataclass(frozen=True, slots=True)
class Server:
    """What a server says of itself.

    Attributes:
        vllm: Whether it is vLLM.
        root: The checkpoint that it serves under the model's name, as its own path or hub name.
        context: Most tokens of prompt and answer, if it says so.
        version: Of vLLM, or empty.
        base: The checkpoint beneath, where the model is an adapter; empty where it is none.
    """

    vllm: bool = False
    root: str = ""
    context: int | None = None
    version: str = ""
    base: str = ""


@dataclass(frozen=True, slots=True)
class _Problem:
    """A server that does not answer, for whatever reason."""

    said: str


def ask_all(
    urls: Sequence[str], model: str, key: str, key_name: str, scrub: Scrubber
) -> list[Server | None]:
    """Ask each server; None for one that does not answer, as long as another one does.

    Raises:
        ConfigError: None answers, an answer is not that of such a server, or the key is refused.
        ModelNotFound: A server does not serve the model.
    """
    import httpx

    headers = {} if key == NO_KEY else {"Authorization": f"Bearer {key}"}
    found: list[Server | _Problem] = []
    with httpx.Client(headers=headers, timeout=_SECONDS, follow_redirects=True) as client:
        for url in urls:
            found.append(_ask(client, url, model, key_name, scrub))
    problems = [each.said for each in found if isinstance(each, _Problem)]
    if len(problems) == len(found):
        raise ConfigError(
            f"backend.base_url: {problems[0]}.",
            hint="Start the server, or correct the address (it usually ends in /v1).",
        )
    for said in problems:
        _LOG.warning("%s; it is left out until it answers", said)
    return [each if isinstance(each, Server) else None for each in found]


def _ask(client: Any, url: str, model: str, key_name: str, scrub: Scrubber) -> Server | _Problem:
    import httpx

    try:
        reply = client.get(f"{url}/models")
    except (httpx.HTTPError, OSError) as error:
        why = scrub(error) or type(error).__name__
        return _Problem(f"nothing answers at {url} ({why})")
    if reply.status_code in (401, 403):
        raise ConfigError(
            f"The server at {url} refuses the key in ${key_name} (HTTP {reply.status_code}).",
            hint=f"Set {key_name}, or name another variable in backend.api_key_env.",
        )
    if reply.status_code in (404, 405):
        _check_path(client, url)
        _LOG.info("%s lists no models; it is taken as it is", url)
        return Server()
    if reply.status_code != 200:
        return _Problem(f"the server at {url} answers with HTTP {reply.status_code}")
    return _server(client, url, _card(reply, url, model))


def _check_path(client: Any, url: str) -> None:
    """Refuse an address of which only the end is missing."""
    import httpx

    try:
        found = client.get(f"{url}/v1/models").status_code == 200
    except httpx.HTTPError:
        return
    if found:
        raise ConfigError(
            f"backend.base_url: there are no models at {url}, but there are at {url}/v1.",
            hint=f"Set backend.base_url={url}/v1.",
        )


def _card(reply: Any, url: str, model: str) -> Mapping[str, Any]:
    """The entry of the model in a list of models."""
    try:
        cards = {str(card["id"]): card for card in reply.json()["data"]}
    except (ValueError, KeyError, TypeError):
        raise ConfigError(
            f"backend.base_url: what answers at {url}/models is no OpenAI-compatible server.",
            hint="Correct the address; it usually ends in /v1.",
        ) from None
    if model in cards:
        found = dict(cards[model])
        beneath = cards.get(str(found.get("parent")), {})
        return {**found, "base": beneath.get("root")}
    close = difflib.get_close_matches(model, cards, n=1)
    names = ", ".join(f"'{name}'" for name in sorted(cards)[:_MOST_NAMES])
    more = f" and {len(cards) - _MOST_NAMES} more" if len(cards) > _MOST_NAMES else ""
    hint = f"Did you mean '{close[0]}'? " if close else ""
    raise ModelNotFound(
        f"The server at {url} does not serve model '{model}'.",
        hint=f"{hint}It serves {names}{more}." if cards else "It serves none.",
    )


def _server(client: Any, url: str, card: Mapping[str, Any]) -> Server:
    if card.get("owned_by") != "vllm":
        return Server()
    length = card.get("max_model_len")
    return Server(
        vllm=True,
        root=str(card.get("root") or ""),
        context=int(length) if length else None,
        version=_version(client, url),
        base=str(card.get("base") or ""),
    )


def _version(client: Any, url: str) -> str:
    """The version that vLLM tells beside /v1; empty if a proxy hides it."""
    import httpx

    try:
        return str(client.get(f"{url.removesuffix('/v1')}/version").json()["version"])
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return ""
