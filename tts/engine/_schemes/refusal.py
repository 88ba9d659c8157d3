"""Refuse in words the schemes and cache formats that could not run, with what could.

An engine that is started with one of them dies in somebody else's stack trace, some at the first
request only, and some write wrong tokens without a word (a bfloat16 cache under a float32 model on
a processor).
"""

from __future__ import annotations

import difflib
import logging
from math import log2
from typing import TYPE_CHECKING

from tts.engine._schemes.caches import CACHE_FORMATS
from tts.engine._schemes.choice import unwritten
from tts.engine._schemes.formats import CacheFormat, Scheme
from tts.engine._schemes.machine import (
    Operator,
    cache_lack,
    emulated,
    feasible_caches,
    lack,
    nearest,
)
from tts.engine._schemes.registry import caches, methods
from tts.engine.config import EngineConfig
from tts.engine.hardware import Hardware
from tts.engine.shape import Shape
from tts.errors import ConfigError, Unsupported

if TYPE_CHECKING:
    from tts.engine.resolved import ResolvedConfig

_LOG = logging.getLogger("tts.engine")


def check_scheme(
    config: EngineConfig,
    resolved: ResolvedConfig,
    hardware: Hardware,
    shape: Shape,
    operator: Operator,
) -> None:
    """Refuse a scheme that the machine, the model or its checkpoint does not serve for.

    Args:
        config: What the user said.
        resolved: What came of it.
        hardware: The machine.
        shape: Of the model.
        operator: Whether the engine's compiled operators include a name.

    Raises:
        Unsupported: The machine, or the engine on it, cannot run it.
        ConfigError: The checkpoint was not written in it, or has nothing that it could narrow.
    """
    scheme = resolved.scheme
    if scheme is None:
        return  # the engine has the last word
    experts = bool(shape.feed_forward.experts)
    if missing := lack(scheme, hardware, operator, experts=experts):
        raise Unsupported(
            f"{config.model} in {scheme} needs {missing}; this machine has {hardware}.",
            hint=_way_out(scheme, config, resolved, hardware, shape, operator),
        )
    _check_checkpoint(scheme, config, resolved, shape)
    _check_loading(scheme, resolved, shape)
    if emulated(scheme, hardware):
        _LOG.warning(
            "%s is emulated on this processor, at a fraction of the speed of fp32", scheme.name
        )
    if scheme.name == "w8a8_int8" and not hardware.adds_int8_exactly:
        _LOG.warning(
            "this processor has no VNNI and cuts off sums of 8-bit products, which costs accuracy"
            " unless the weights use 7 bits, as `tts quantize` here makes them"
        )


def _check_checkpoint(
    scheme: Scheme, config: EngineConfig, resolved: ResolvedConfig, shape: Shape
) -> None:
    said = f"scheme is '{config.scheme}'"
    if config.scheme is None:
        said = f"quantization is '{config.quantization}'"
    if why := unwritten(scheme, config, shape):
        make = f"Make one (tts quantize model={config.model} scheme={scheme.name})"
        raise ConfigError(
            f"{said}, and {why}.",
            hint=f"{'Take another model' if shape.quantization else make}, or leave"
            f" {resolved.place}.{'scheme' if config.scheme else 'quantization'} unset.",
        )
    if scheme.experts_only and not shape.feed_forward.experts:
        raise ConfigError(
            f"{said}, which narrows nothing but the experts of a mixture, and {config.model} has"
            " none.",
            hint="Take another scheme; docs/engine.md lists them.",
        )


def _check_loading(scheme: Scheme, resolved: ResolvedConfig, shape: Shape) -> None:
    """What holds for a scheme that is applied while loading."""
    asked = resolved.arguments.get("quantization")
    if shape.quantization or asked not in scheme.online:
        return
    here = [name for name in scheme.online if name in methods()]
    if here and asked != here[0]:
        raise ConfigError(
            f"quantization is '{asked}', and this version of vLLM calls it '{here[0]}' where it is"
            " applied while loading.",
            hint=f"Set {resolved.place}.scheme to {scheme.name}.",
        )
    fine = scheme.needs.dtypes
    if fine and resolved.dtype not in ("auto", "half", *fine):
        raise Unsupported(
            f"{scheme.name} is applied to weights of {' or '.join(fine)}, and dtype is"
            f" '{resolved.dtype}'.",
            hint=f"Set {resolved.place}.dtype to {fine[0]}.",
        )


def _way_out(
    scheme: Scheme,
    config: EngineConfig,
    resolved: ResolvedConfig,
    hardware: Hardware,
    shape: Shape,
    operator: Operator,
) -> str:
    """The nearest scheme that would run, and how to come to it."""
    near = nearest(scheme, hardware, operator, experts=bool(shape.feed_forward.experts))
    if near is None:
        return "Take another machine."
    said = f"The nearest that runs here is {near}:"
    if not near.plain and not near.online:
        return f"{said} tts quantize model={config.model} scheme={near.name}."
    model = "take the unquantised model, and " if shape.quantization else ""
    return f"{said} {model}set {resolved.place}.scheme to {near.name}."


def check_cache(
    config: EngineConfig, resolved: ResolvedConfig, hardware: Hardware, shape: Shape
) -> None:
    """Refuse a format of the KV cache that the machine cannot run.

    Args:
        config: What the user said.
        resolved: What came of it.
        hardware: The machine.
        shape: Of the model.

    Raises:
        Unsupported: The machine cannot run it.
        ConfigError: The engine does not know it.
    """
    name = config.kv_cache_dtype
    if name == "auto":
        return
    known = caches() or CACHE_FORMATS.keys()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        raise ConfigError(
            f"kv_cache_dtype is '{name}', which the engine does not know.",
            hint=f"Did you mean '{close[0]}'?" if close else f"Known are {', '.join(known)}.",
        )
    form = CACHE_FORMATS.get(name)
    missing = cache_lack(form, hardware) if form else "" if hardware.is_cuda else "a GPU"
    # The processor's kernel for narrow caches reads 32 numbers at a time.
    if form and form.bits and not missing and not hardware.is_cuda and shape.head_size % 32:
        missing = f"attention heads of a multiple of 32, and those of {config.model} are"
        missing += f" {shape.head_size} wide"
    if missing:
        near = _nearest_cache(form, hardware).name if form else "auto"
        raise Unsupported(
            f"A KV cache of type '{name}' needs {missing}; this machine has {hardware}.",
            hint=f"Set {resolved.place}.kv_cache_dtype to {near}.",
        )


def _nearest_cache(form: CacheFormat, hardware: Hardware) -> CacheFormat:
    """Of those that run, the format whose numbers are most nearly as wide."""
    able = [each for each in feasible_caches(hardware) if each is not form]
    return min(able, key=lambda each: abs(log2(each.bits or 16) - log2(form.bits or 16)))
