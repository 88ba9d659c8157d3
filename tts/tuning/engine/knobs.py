"""The engine's knobs: which there are on a machine, and which values are worth a measurement.

A point is a choice of values by name. A knob is a field of `EngineConfig`, or `speculative_tokens`,
which stands for `speculative` with drafts by n-grams. What the user has set himself is no knob: it
holds for all points. Fields that change what the model computes (its scheme, its types) are never
knobs.
"""

from __future__ import annotations

import difflib
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tts.engine import EngineConfig, Hardware, Shape, read_config
from tts.errors import ConfigError

Value = bool | int | float | None
"""Of a knob; None leaves a field as it is by default."""

Point = Mapping[str, Value]
"""Values by the name of their knob."""

SPECULATIVE = "speculative_tokens"
"""Tokens that are drafted ahead by looking up n-grams of what was written; 0 for none."""

_NEVER = (
    *("model", "max_model_len", "scheme", "dtype", "quantization", "kv_cache_dtype"),
    *("max_logprobs", "reproducible", "trust_remote_code", "lora", "speculative", "extra"),
)
_ROOM = ("max_num_seqs", "max_num_batched_tokens", "kv_cache_gib")
_NODES = Path("/sys/devices/system/node")


@dataclass(frozen=True, slots=True)
class Knob:
    """One setting, and the values that are tried.

    Attributes:
        name: Of the field.
        values: At least one, all different; numbers in ascending order.
    """

    name: str
    values: tuple[Value, ...]

    @property
    def ordered(self) -> bool:
        """Whether its values are numbers, of which neighbours are alike."""
        return not any(value is None or isinstance(value, bool) for value in self.values)

    def words(self) -> str:
        """As the user would write it."""
        return f"{self.name}={','.join(map(word, self.values))}"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the knobs depend on.

    Attributes:
        config: The engine's settings, as the user gave them.
        hardware: The machine.
        shape: Of the model.
        length: Most tokens of prompt and answer together.
        cache_gib: The KV cache that the engine takes by default on a processor.
        drawn: Whether tokens are drawn at random, and so with seeds.
        steered: Whether requests change the distribution of the next token.
        compiler: Whether there is a C++ compiler, without which nothing is compiled on a processor.
        nodes: Memory nodes of the processors (NUMA), at least 1.
    """

    config: EngineConfig
    hardware: Hardware
    shape: Shape
    length: int
    cache_gib: float
    drawn: bool
    steered: bool
    compiler: bool
    nodes: int = 1


def has_compiler() -> bool:
    """Whether there is a C++ compiler."""
    return any(shutil.which(name) for name in ("g++", "clang++", "c++"))


def memory_nodes() -> int:
    """How many memory nodes this machine has, at least 1."""
    return max(1, len(list(_NODES.glob("node[0-9]*")))) if _NODES.is_dir() else 1


def usual(facts: Facts) -> tuple[Knob, ...]:
    """The knobs that are turned unless the user says otherwise; those with one value are left out.

    Args:
        facts: What they depend on.
    """
    found = _on_gpu(facts) if facts.hardware.is_cuda else _on_processor(facts)
    fixed = set_by_user(facts.config)
    if facts.config.speculative or facts.config.extra.get("speculative_config"):
        fixed.add(SPECULATIVE)
    return tuple(knob for knob in found if knob.name not in fixed and len(knob.values) > 1)


def set_by_user(config: EngineConfig) -> set[str]:
    """The fields that somebody has set."""
    return {name for name in config.model_fields_set if getattr(config, name) is not None}


def guesses(knobs: Sequence[Knob], place: Point) -> tuple[Point, ...]:
    """Points that are likely to be good for much work at a time, measured before all others.

    The defaults leave room on the machine; these take as many sequences at a time as there are
    values for, with the cache to hold them: as they are, compiled or not, and with drafts.

    Args:
        knobs: That are turned.
        place: Where the defaults lie; what it leaves out is left out of the guesses.
    """
    most = {knob.name: knob.values[-1] for knob in knobs if knob.ordered}
    roomy = {**place, **{name: most[name] for name in _ROOM if name in most}}
    others: list[Point] = [{}]
    if "enforce_eager" in place:
        others.append({"enforce_eager": not place["enforce_eager"]})
    if SPECULATIVE in most:
        others.append({SPECULATIVE: most[SPECULATIVE]})
    found = ({**roomy, **other} for other in others)
    return tuple(point for point in found if point != place)


def named(knobs: Iterable[Knob], words: Sequence[str]) -> tuple[Knob, ...]:
    """The knobs with those that the user names, as `NAME=V1,V2`, in place of the usual ones.

    Raises:
        ConfigError: There is no such knob, or a value cannot be used.
    """
    found = {knob.name: knob for knob in knobs}
    for text in words:
        name, _, values = text.partition("=")
        _check_name(name, list(found))
        read = [_read(name, value) for value in values.split(",")]
        if len(set(map(repr, read))) < len(read):
            raise ConfigError(f"--knob {text}: a value stands there twice.", hint="Give it once.")
        if not any(value is None or isinstance(value, bool) for value in read):
            read.sort(key=lambda value: value or 0)
        found[name] = Knob(name, tuple(read))
    return tuple(found.values())


def settings(base: Mapping[str, Any], point: Point) -> dict[str, Any]:
    """The engine's settings at a point.

    Args:
        base: What the user has set, as fields of `EngineConfig`.
        point: Values of knobs.
    """
    merged = {**base, **{name: value for name, value in point.items() if name != SPECULATIVE}}
    if tokens := point.get(SPECULATIVE):
        merged["speculative"] = {"method": "ngram", "tokens": tokens}
    return {name: value for name, value in merged.items() if value is not None}


def word(value: Value) -> str:
    """A value as YAML and the command line write it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def _on_processor(facts: Facts) -> Iterator[Knob]:
    cores = facts.hardware.cores
    batches: list[Value] = [n for n in (1024, 2048, 4096, 8192, 16384) if n >= facts.length]
    yield Knob("max_num_seqs", (16, 32, 64, 128, 256, 512))
    yield Knob("max_num_batched_tokens", tuple(batches) or (facts.length,))
    yield Knob("block_size", (32, 64, 128))
    sizes = (factor * facts.cache_gib for factor in (0.5, 1, 2, 4))
    yield Knob("kv_cache_gib", tuple(gib for gib in sizes if gib < 0.4 * facts.hardware.memory_gib))
    yield Knob("threads", tuple(sorted({*_doubling(1, cores), max(1, cores - 1), cores})))
    yield Knob("tensor_parallel_size", tuple(_shares(facts.shape, facts.nodes)))
    yield Knob("enforce_eager", (True, False) if facts.compiler else (True,))
    # A seeded prompt that is prefilled in parts kills the engine there.
    yield Knob("enable_chunked_prefill", (False,) if facts.drawn else (False, True))
    yield Knob(SPECULATIVE, (0,) if facts.steered else (0, 2, 4))


def _on_gpu(facts: Facts) -> Iterator[Knob]:
    yield Knob("max_num_seqs", (64, 128, 256, 512, 1024))
    yield Knob("max_num_batched_tokens", (2048, 4096, 8192, 16384, 32768))
    yield Knob("block_size", (16, 32, 64))
    yield Knob("gpu_memory_utilization", (0.8, 0.9, 0.95))
    yield Knob("tensor_parallel_size", tuple(_shares(facts.shape, facts.hardware.cuda_devices)))
    yield Knob("enforce_eager", (False, True))
    yield Knob("enable_chunked_prefill", (True, False))
    yield Knob(SPECULATIVE, (0,) if facts.steered else (0, 2, 4))


def _doubling(least: int, most: int) -> Iterator[int]:
    while least <= most:
        yield least
        least *= 2


def _shares(shape: Shape, most: int) -> Iterator[int]:
    """Into how many parts a layer can be divided."""
    return (n for n in _doubling(1, most) if shape.query_heads % n == 0)


def _check_name(name: str, usual: Sequence[str]) -> None:
    known = [each for each in (*EngineConfig.model_fields, SPECULATIVE) if each not in _NEVER]
    if name in known:
        return
    if name in _NEVER:
        raise ConfigError(
            f"--knob: {name} is no knob, as it is part of what the model computes or can take.",
            hint=f"Set model.engine.{name} for all points; `tts advise` compares schemes.",
        )
    close = difflib.get_close_matches(name, known, n=1)
    raise ConfigError(
        f"--knob: there is no setting {name!r}.",
        hint=f"Did you mean {close[0]}?" if close else f"Usual ones here: {', '.join(usual)}.",
    )


def _read(name: str, text: str) -> Value:
    """One value out of a word, checked as the engine's settings are."""
    words: dict[str, Value] = {"true": True, "false": False, "null": None}
    value: Value
    try:
        value = words[text] if text in words else int(text)
    except ValueError:
        try:
            value = float(text)
        except ValueError:
            raise ConfigError(
                f"--knob {name}: {text!r} is no value.",
                hint=f"Write numbers, true, false or null: --knob {name}=1,2.",
            ) from None
    if name != SPECULATIVE:
        read_config({name: value})
    elif isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ConfigError(f"--knob {name}: {text!r} is no number of tokens.", hint="Write 0,3.")
    return value
