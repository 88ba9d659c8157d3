"""LoRA adapters: looked at before the engine is started, and known to it by number.

An adapter that does not fit ends the engine's process at the first request that wants it, so what
can be seen from outside is checked here, from the files' headers; the rest says vLLM, which is
given all adapters when it has started.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

from tts.engine.head import weight_sizes
from tts.engine.shape import Shape
from tts.errors import ConfigError, ModelNotFound
from tts.types import ModelInfo

_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # those that vLLM reserves memory for
_SETTINGS, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"
# What PEFT knows and vLLM does not; each changes what the adapter means.
_UNKNOWN = (
    "use_dora", "lora_bias", "modules_to_save", "layer_replication", "alora_invocation_tokens",
    "use_bdlora", "use_qalora",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter that was looked at.

    Attributes:
        name: As the user named it.
        path: Its folder.
        number: The engine's name for it, from 1.
        rank: The largest of its matrices.
        params: Its weights.
        digest: Of its weights and settings: which adapter made a result.
    """

    name: str
    path: Path
    number: int
    rank: int
    params: int
    digest: str

    def on(self, model: ModelInfo) -> ModelInfo:
        """A model with this adapter, for the accounts."""
        name, params = f"{model.name}+{self.name}", model.active_params + self.params
        return replace(model, name=name, active_params=params)

    def request(self) -> Any:
        """The word of vLLM's for it."""
        from vllm.lora.request import LoRARequest

        return LoRARequest(self.name, self.number, str(self.path))


def read_adapters(said: Mapping[str, str], base: Path, shape: Shape) -> tuple[Adapter, ...]:
    """The adapters of a model, in the order of their names.

    Args:
        said: Folders by name.
        base: Directory of the model's checkpoint.
        shape: Of the model.

    Raises:
        ConfigError: One is not there, is no LoRA adapter, or does not fit the model.
    """
    if not said:
        return ()
    sizes = weight_sizes(base)
    return tuple(
        _Folder(name, Path(said[name]).expanduser()).read(number, sizes, shape)
        for number, name in enumerate(sorted(said), 1)
    )


def chosen(adapters: tuple[Adapter, ...], name: str | None, place: str) -> Adapter | None:
    """The adapter of a name; None for no name.

    Args:
        adapters: Of the engine.
        name: Of one of them.
        place: Where the user finds the engine's settings, for messages.

    Raises:
        ConfigError: There is no such adapter.
    """
    if name is None:
        return None
    for adapter in adapters:
        if adapter.name == name:
            return adapter
    there = ", ".join(repr(adapter.name) for adapter in adapters)
    raise ConfigError(
        f"The engine has no adapter {name!r}.",
        hint=f"It has {there}." if there else f"Set {place}.lora.{name}=FOLDER.",
    )


def arguments_of(adapters: tuple[Adapter, ...], *, on_cuda: bool) -> dict[str, Any]:
    """What vLLM is told, so that all of them fit one batch; nothing if there are none.

    One more place than there are adapters is reserved on a processor. vLLM's kernels there take the
    last place's weights (index -1) for requests without an adapter as soon as another request of
    the batch has one; so that place must stay empty.
    """
    if not adapters:
        return {}
    rank = max(adapter.rank for adapter in adapters)
    count = len(adapters) + (not on_cuda)
    room = next(known for known in _RANKS if known >= rank)
    return {
        "enable_lora": True, "max_loras": count, "max_cpu_loras": count, "max_lora_rank": room,
    }  # fmt: skip


def reserved_params(arguments: Mapping[str, Any], shape: Shape) -> int:
    """Weights for which the engine keeps room: of all layers, whatever an adapter changes."""
    if not arguments.get("enable_lora"):
        return 0
    heads = 2 * (shape.query_heads + shape.key_value_heads) * shape.head_size
    attention = heads + 4 * shape.width
    inner = shape.feed_forward
    feed_forward = inner.matrices * (shape.width + inner.width * max(1, inner.experts))
    each = shape.layers * (attention + feed_forward)
    # Those who switch it on among vLLM's further arguments may leave these two to vLLM.
    count, rank = arguments.get("max_loras") or 1, arguments.get("max_lora_rank") or 16
    return int(count) * int(rank) * each


@dataclass(frozen=True, slots=True)
class _Folder:
    """The folder of an adapter, and how it is called in messages."""

    name: str
    path: Path

    def read(self, number: int, base: Mapping[str, list[int]], shape: Shape) -> Adapter:
        settings = self._settings()
        if not (self.path / _WEIGHTS).is_file():
            raise self._wrong(f"'{self.path}' holds no {_WEIGHTS}", "Save it in that format.")
        try:
            sizes = weight_sizes(self.path)
        except ModelNotFound as error:
            raise self._wrong(error.message.rstrip("."), "Copy the adapter anew.") from error
        self._check_modules(sizes, base, shape)
        rank = max((size[0] for key, size in sizes.items() if key.endswith(_DOWN)), default=0)
        if rank > _RANKS[-1]:
            raise self._wrong(
                f"its rank is {rank}, and vLLM knows ranks up to {_RANKS[-1]}",
                "Merge it into the weights.",
            )
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        with (self.path / _WEIGHTS).open("rb") as data:
            digest.update(hashlib.file_digest(data, "sha256").digest())
        params = sum(prod(size) for size in sizes.values())
        return Adapter(self.name, self.path, number, rank, params, digest.hexdigest()[:32])

    def _settings(self) -> dict[str, Any]:
        """What decides what the adapter does, of what PEFT has written beside it."""
        if not self.path.is_dir():
            raise self._wrong(f"there is no folder '{self.path}'", "Name the adapter's folder.")
        try:
            said = json.loads((self.path / _SETTINGS).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise self._wrong(
                f"'{self.path}' holds no {_SETTINGS}", "Name the folder that PEFT has saved."
            ) from error
        except (OSError, ValueError) as error:
            raise self._wrong(
                f"its {_SETTINGS} cannot be read ({error})", "Save it anew."
            ) from error
        if not isinstance(said, dict) or said.get("peft_type") != "LORA":
            kind = said.get("peft_type") if isinstance(said, dict) else None
            raise self._wrong(f"it is no LoRA adapter but {kind!r}", "Only LoRA can be loaded.")
        strange = [name for name in _UNKNOWN if said.get(name)]
        if said.get("bias", "none") != "none":
            strange.append("bias")
        if strange:
            raise self._wrong(
                f"it uses {', '.join(strange)}, which vLLM does not know",
                "Merge it into the weights, or train it without.",
            )
        kept = ("r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern")
        return {name: said[name] for name in kept if name in said}

    def _check_modules(
        self, sizes: Mapping[str, list[int]], base: Mapping[str, list[int]], shape: Shape
    ) -> None:
        """Refuse matrices that are none of the model's, as far as its files tell."""
        downs = {
            key.removesuffix(_DOWN): size for key, size in sizes.items() if key.endswith(_DOWN)
        }
        if not downs:
            raise self._wrong("it holds no matrices of LoRA (lora_A, lora_B)", "Save it anew.")
        known = {key.removesuffix(".weight").rpartition(".")[2] for key in base}
        for key, down in sorted(downs.items()):
            module = key.removeprefix(_PREFIX)
            parts = module.split(".")
            up = sizes.get(f"{key}{_UP}")
            if up is None or len(down) != 2 or len(up) != 2 or up[1] != down[0]:
                raise self._wrong(f"the two matrices of {module} do not fit", "Save it anew.")
            layer = parts[parts.index("layers") + 1] if "layers" in parts[:-1] else "0"
            if layer.isdecimal() and int(layer) >= shape.layers:
                raise self._unfit(f"it changes layer {layer}, and the model has {shape.layers}")
            if base and parts[-1] not in known and not shape.quantization:
                raise self._unfit(f"it changes {module}, which the model does not have")
            weight = base.get(f"{module}.weight")
            if weight and not shape.quantization and weight != [up[0], down[1]]:
                raise self._unfit(
                    f"it was made for a {module} of {up[0]} x {down[1]}, and the model's is"
                    f" {' x '.join(map(str, weight))}"
                )

    def _unfit(self, why: str) -> ConfigError:
        return self._wrong(why, "Take the model that the adapter was trained on.")

    def _wrong(self, why: str, hint: str) -> ConfigError:
        return ConfigError(f"model.engine.lora.{self.name}: {why}.", hint=hint)
