"""The doctor's look around: extras, data sets, keys and servers. Never shows a key."""

from __future__ import annotations

import http.client
import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from tts.backends._openai.secrets import NO_KEY, Scrubber, check_url, read_key
from tts.cli._findings import Finding, State
from tts.cli.arguments import config_dir
from tts.errors import ConfigError
from tts.sandbox import fault_of_machine

_DISTRIBUTION = "tts-scaling"
_NO_MATTER = ("cuda", "dev")  # the engine has lines of its own; who develops knows
_NAME = re.compile(r"[\w.-]+")
_EXTRA = re.compile(r"extra == ['\"]([\w-]+)['\"]")
_KEY_FIELD = re.compile(r"^api_key_env:\s*(\w+)", re.MULTILINE)
_KEYS = ("OPENAI_API_KEY", "HF_TOKEN")
_SECONDS = 5.0
_MOST_NAMES = 6
_MOST_BYTES = 1 << 20


def extras() -> Iterator[Finding]:
    """What the package's extras would bring, and whether it is there."""
    section = "Extras"
    groups: dict[str, list[str]] = {}
    try:
        wanted = metadata.requires(_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        todo = "pip install -e . (in a checkout)"
        yield Finding(section, _DISTRIBUTION, "warning", "not installed as a package", todo)
        return
    for requirement in wanted:
        extra, name = _EXTRA.search(requirement), _NAME.match(requirement)
        if extra and name and extra[1] not in _NO_MATTER:
            groups.setdefault(extra[1], []).append(name[0])
    for extra_name, names in sorted(groups.items()):
        absent = [name for name in names if not _installed(name)]
        if absent:
            todo = f"pip install '{_DISTRIBUTION}[{extra_name}]'"
            said = f"not installed: {', '.join(absent)}"
            yield Finding(section, extra_name, "missing", said, todo)
        else:
            yield Finding(section, extra_name, "ok", ", ".join(names))


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def sandbox() -> Iterator[Finding]:
    """Whether what models wrote can be run on this machine."""
    section, name, fault = "Extras", "sandbox", fault_of_machine()
    if fault is None:
        yield Finding(section, name, "ok", "programs and commands can be run behind walls")
    else:
        yield Finding(section, name, "missing", f"no program can be run: {fault[0]}", fault[1])


def data_sets() -> Iterator[Finding]:
    """The files that tasks of the configuration read."""
    from omegaconf import OmegaConf

    folder = os.environ.get("TTS_DATA")
    named = f"TTS_DATA={folder}" if folder else "TTS_DATA is not set: ./data"
    for file in sorted((config_dir() / "task").glob("*.yaml")):
        task = OmegaConf.load(file)
        raw = OmegaConf.to_container(task, resolve=False)
        if not isinstance(raw, dict) or "TTS_DATA" not in str(raw.get("path")):
            continue  # made on the spot, from the hub, or the user's own
        path = Path(str(task.path)).expanduser()
        if path.is_file():
            yield Finding("Data sets", file.stem, "ok", str(path))
        else:
            todo = f"Put it there, or set TTS_DATA or task.path ({named})."
            yield Finding("Data sets", file.stem, "missing", f"there is no {path}", todo)


def keys() -> Iterator[Finding]:
    """Whether variables that hold keys are set."""
    files = config_dir().rglob("*.yaml")
    named = (match for file in files for match in _KEY_FIELD.findall(file.read_text()))
    for name in dict.fromkeys([*_KEYS, *named]):
        if os.environ.get(name):
            yield Finding("Keys", name, "ok", "set")
        else:
            todo = "Servers of your own need none." if name != "HF_TOKEN" else ""
            yield Finding("Keys", name, "missing", "not set", todo)


def servers(urls: Sequence[str], key_env: str) -> Iterator[Finding]:
    """Whether servers answer, and which models they offer.

    Args:
        urls: Base URLs, such as http://127.0.0.1:8000/v1.
        key_env: The variable with the key; sent to each of them.
    """
    for url in urls:
        yield _server(url, key_env)


def _server(url: str, key_env: str) -> Finding:
    scrub = Scrubber(read_key(key_env))
    name = scrub(url)
    try:
        state, said, todo = _asked(check_url(url), read_key(key_env))
    except ConfigError as error:
        return Finding("Servers", name, "missing", scrub(error.message), error.hint)
    return Finding("Servers", name, state, scrub(said), todo)


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: it would carry the key to whomever it names."""

    def redirect_request(self, *_: object) -> None:
        """Go nowhere."""


def _asked(url: str, key: str) -> tuple[State, str, str]:
    """Ask a server for its models: state, what was found, what to do."""
    headers = {} if key == NO_KEY else {"Authorization": f"Bearer {key}"}
    request = urllib.request.Request(f"{url}/models", headers=headers)
    address = "Correct the address; it usually ends in /v1."
    try:
        with urllib.request.build_opener(_Stay).open(request, timeout=_SECONDS) as reply:
            body = reply.read(_MOST_BYTES)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (401, 403):
            return "missing", f"refuses the key (HTTP {error.code})", "Set the key's variable."
        return "missing", f"answers with HTTP {error.code}", address
    except (OSError, http.client.HTTPException) as error:
        why = str(getattr(error, "reason", error)) or type(error).__name__
        return "missing", f"nothing answers ({why})", "Start the server, or correct the address."
    try:
        names = [str(card["id"]) for card in json.loads(body)["data"]]
    except (ValueError, KeyError, TypeError):
        return "missing", "answers, but is no OpenAI-compatible server", address
    shown = ", ".join(names[:_MOST_NAMES]) + (", ..." if len(names) > _MOST_NAMES else "")
    return "ok", f"offers {shown}" if names else "offers no model", ""
