"""A reward model on vLLM's server: `POST /pooling` with token ids, values without an activation.

The server must run a pooling model (`--runner pooling`) and give the values of all tokens. It says
nothing of its prefix cache, so every token counts as computed. Retries, waits and connections are
those of the `openai` client. Whatever the server says passes through a filter for the key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tts.engine.head import Head
from tts.engine.models import resolve_model
from tts.engine.reward import Following, Rows
from tts.engine.shape import model_info
from tts.engine.text import Text, tokenizer_identity
from tts.errors import (
    BackendError,
    ConfigError,
    ContextTooLong,
    EndpointDown,
    ModelNotFound,
    VerifierError,
)
from tts.types import ModelInfo
from tts.verifiers._prm.probe import Address, probe

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI


class RewardServer:
    """A reward model behind an address. Making one asks the server what it serves.

    Args:
        model: Name of the model, for messages, accounts and the choice of a format.
        server: Address of the server, with or without `/v1`.
        served_name: Name of the model at the server; `model` by default.
        tokenizer: Path, bundled model or hub name of the tokenizer; by default the checkpoint that
            the server names, if it is on this machine, or else `model`.
        api_key_env: Variable that holds the key; unset is fine for servers that want none.
        timeout_seconds: Longest wait for a reply.
        retries: Most repetitions of a request.

    Attributes:
        head: Where its values come from.
        labels: Values in a row.
        model: The model; its FLOPs are 0 if the tokenizer's directory has no `config.json`.
        text: The tokenizer.

    Raises:
        ConfigError: A setting cannot be used, or nothing fitting answers.
        ModelNotFound: The server does not serve the model, or there is no tokenizer.
    """

    def __init__(
        self,
        model: str,
        server: str,
        served_name: str | None,
        tokenizer: str | None,
        api_key_env: str,
        timeout_seconds: float,
        retries: int,
    ) -> None:
        self._address = Address.read(server, api_key_env, timeout_seconds, retries)
        self._served = served_name or model
        card = self._address.card(self._served)
        self._root = str(card.get("root") or "")
        path = _directory(tokenizer, self._root, model)
        self.text = Text(path, model, tokenizer_identity(path))
        context = int(card.get("max_model_len") or ModelInfo("").context)
        self.model = _info(path, model, context, self.text.identity)
        found = probe(self._address, self._served, self.text)
        self.head: Head = found.head
        self.labels = found.labels
        self._client: AsyncOpenAI | None = None

    def identity(self) -> Mapping[str, Any]:
        """What decides its values, as far as the server tells."""
        parts = urlsplit(self._address.url)
        host = parts.hostname or ""
        local = host in ("localhost", "::1") or host.startswith("127.")
        template = (self.text.chat_template or "").encode()
        return {
            "model": self._served,
            "root": self._root,
            "host": "localhost" if local else parts.netloc,
            "tokenizer": self.text.identity,
            "chat_template": hashlib.sha256(template).hexdigest()[:16],
        }

    @property
    def caches(self) -> bool:
        """No: a server does not say what it had in its cache, so all counts as computed."""
        return False

    async def start(self) -> None:
        """Make the client; safe to call again."""
        self._connected()

    async def aclose(self) -> None:
        """Close all connections; safe to call again."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def rows(self, ids: Sequence[int], *, reuse: bool = False) -> Rows:
        """Values of all tokens, or of the last one where the whole text has one.

        Args:
            ids: The text, at least one token and at most `model.context`.
            reuse: Of no consequence: the server does not leave out what it has cached.

        Raises:
            ContextTooLong: There are too many.
            EndpointDown: Nothing answers any more, or the key is refused.
            BackendError: The server failed again and again.
            VerifierError: It refuses the request, or answers something else.
        """
        if len(ids) > self.model.context:
            raise ContextTooLong(
                f"A text of {len(ids)} tokens is too long for {self.model.name}: its server takes"
                f" {self.model.context}.",
                hint="Start the server with a larger --max-model-len, or judge shorter answers.",
            )
        import numpy as np

        said = await self._ask({"model": self._served, "input": list(ids), "use_activation": False})
        expected = len(ids) if self.head == "token" else 1
        try:
            values = np.asarray(said["data"][0]["data"], dtype=np.float32)
            values = values.reshape(-1, self.labels)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise self._broken("answers something else than values") from error
        if len(values) != expected:
            raise self._broken(f"gave {len(values)} rows for {len(ids)} tokens")
        return Rows(values, cached_tokens=0)

    async def following(self, ids: Sequence[int], tokens: Sequence[int]) -> Following:
        """A pooling server names no next token.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(f"The server at {self._address.url} names no next token.")

    def _connected(self) -> AsyncOpenAI:
        if self._client is None:
            from openai import AsyncOpenAI

            self._client = AsyncOpenAI(**self._address.settings())
        return self._client

    async def _ask(self, body: Mapping[str, Any]) -> Any:
        import openai

        try:
            return await self._connected().post("/pooling", cast_to=object, body=body)
        except openai.APITimeoutError:
            seconds = self._address.timeout_seconds
            raise EndpointDown(
                f"The server at {self._address.url} has not answered for {seconds:g} s.",
                hint="Raise verifier.timeout_seconds, or lower verifier.in_flight.",
            ) from None
        except openai.APIConnectionError as error:
            raise EndpointDown(
                f"Nothing answers at {self._address.url} any more"
                f" ({self._address.scrub(error.__cause__ or error)}).",
                hint="Start the server again and resume the run.",
            ) from None
        except openai.APIStatusError as error:
            raise self._refused(error) from None
        except (openai.OpenAIError, ValueError):
            raise self._broken("answers what is no JSON") from None

    def _refused(self, error: APIStatusError) -> Exception:
        url, status = self._address.url, error.status_code
        if status in (401, 403):
            return EndpointDown(
                f"The server at {url} refuses the key in ${self._address.key_name} (HTTP {status})."
            )
        said = f"The server at {url} answers with HTTP {status}: {self._address.scrub(error)}."
        return BackendError(said) if status >= 500 or status == 429 else VerifierError(said)

    def _broken(self, what: str) -> VerifierError:
        return VerifierError(
            f"The server at {self._address.url} {what}.",
            hint="Start it as docs/verifiers.md says, or update vLLM.",
        )


def _directory(named: str | None, root: str, model: str) -> Path:
    """Where the tokenizer lies."""
    for name in [named] if named else [root, model]:
        if name and Path(name).expanduser().is_dir():
            return Path(name).expanduser()
    try:
        return resolve_model(named or model)
    except ModelNotFound as error:
        raise ModelNotFound(
            f"The tokenizer of {model} is not on this machine: {error.message}",
            hint="Set verifier.tokenizer to a directory with tokenizer.json.",
        ) from error


def _info(path: Path, model: str, context: int, tokenizer: str) -> ModelInfo:
    if (path / "config.json").is_file():
        return model_info(path, model, context, tokenizer)
    return ModelInfo(model, context=context, tokenizer=tokenizer)
