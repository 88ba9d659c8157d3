"""The settings of a server's backend, read and checked before anything is sent."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from tts.backends._openai.probe import Server
from tts.backends._openai.secrets import check_url
from tts.errors import ConfigError

_OFFICIAL = "api.openai.com"


def check_words(server: str, api: str, field: str) -> None:
    """Refuse words that are none of ours. Raises `ConfigError`."""
    for name, value, known in (
        ("server", server, ("auto", "vllm", "generic")),
        ("api", api, ("auto", "chat", "completions")),
        ("max_tokens_field", field, ("auto", "max_tokens", "max_completion_tokens")),
    ):
        if value not in known:
            raise ConfigError(
                f"backend.{name} is {value!r}.", hint=f"It is one of {', '.join(known)}."
            )


def check_numbers(
    counts: Sequence[tuple[str, int, int]], seconds: tuple[float, float, float], context: int | None
) -> None:
    """Refuse numbers out of range. Raises `ConfigError`."""
    for name, value, least in counts:
        if value < least:
            raise ConfigError(f"backend.{name} is {value}; it must be at least {least}.")
    for name, wait in zip(("timeout", "stall", "patience"), seconds, strict=True):
        if not wait > 0:
            raise ConfigError(f"backend.{name}_seconds is {wait}; it must be positive.")
    if context is not None and context < 2:
        raise ConfigError(f"backend.context is {context}; it must be at least 2.")


def read_urls(base_url: str | Sequence[str]) -> tuple[str, ...]:
    """One or several base URLs, each once. Raises `ConfigError`."""
    given = [base_url] if isinstance(base_url, str) else list(base_url)
    urls = tuple(dict.fromkeys(check_url(url) for url in given))
    if not urls:
        raise ConfigError("backend.base_url is empty.", hint="Name at least one server.")
    return urls


def common(servers: Sequence[Server | None], wanted: str) -> Server:
    """What all servers have in common, as one."""
    there = [server for server in servers if server is not None]
    vllm = wanted == "vllm" or (wanted == "auto" and all(server.vllm for server in there))
    lengths = [server.context for server in there if server.context]
    first = there[0]
    return Server(vllm, first.root, min(lengths, default=None), first.version, first.base)


def limit_field(wanted: str, urls: Sequence[str]) -> str:
    """The field of the cap in a chat."""
    if wanted != "auto":
        return wanted
    official = all(host_of(url) == _OFFICIAL for url in urls)
    return "max_completion_tokens" if official else "max_tokens"


def is_guided(version: str) -> bool:
    """Whether a version of vLLM has the names for structures that it had before 0.11.

    Builds from its source may call themselves 0.1.
    """
    major, _, rest = version.partition(".")
    minor = rest.partition(".")[0]
    known = major.isdigit() and minor.isdigit()
    return known and (0, 4) <= (int(major), int(minor)) < (0, 11)


def host_of(url: str) -> str:
    """Host and port; of this machine the host alone, as ports come and go."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host in ("localhost", "::1") or host.startswith("127."):
        return "localhost"
    return f"{host}:{parts.port}" if parts.port else host
