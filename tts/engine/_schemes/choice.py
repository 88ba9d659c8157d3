"""The user's choice of a scheme, spelt out in the engine's own arguments: pure.

`scheme` is a name for what `dtype` and `quantization` say, not a second way of saying it: it fills
in what they leave open, and is refused if they say something else.
"""

from __future__ import annotations

import difflib
from collections.abc import Container

from tts.engine._schemes.formats import Scheme
from tts.engine._schemes.recognition import scheme_of, written_scheme
from tts.engine._schemes.registry import methods as registered
from tts.engine._schemes.table import SCHEMES
from tts.engine.config import EngineConfig
from tts.engine.shape import Shape
from tts.errors import ConfigError


def spelt_out(
    config: EngineConfig, shape: Shape, methods: Container[str] | None = None
) -> EngineConfig:
    """The settings with `scheme` turned into `dtype` and `quantization`.

    What a checkpoint must have been written in is nobody's argument: then nothing is filled in,
    and `unwritten` says whether it was.

    Args:
        config: What the user said.
        shape: Of the model.
        methods: Quantisation methods that the engine registers; by default those of the one that
            is installed, and any if none is.

    Raises:
        ConfigError: There is no scheme of this name, or the other settings say another one.
    """
    if config.scheme is None:
        return config
    scheme = named(config.scheme)
    _agree(config, scheme, shape)
    if scheme.plain:
        return config.model_copy(update={"dtype": scheme.dtype})
    if shape.quantization or not scheme.online or config.quantization:
        return config
    known = registered() if methods is None else methods
    found = (name for name in scheme.online if not known or name in known)
    return config.model_copy(update={"quantization": next(found, scheme.online[0])})


def named(name: str) -> Scheme:
    """The scheme of a name.

    Raises:
        ConfigError: There is none.
    """
    if name in SCHEMES:
        return SCHEMES[name]
    close = difflib.get_close_matches(name, SCHEMES, n=1, cutoff=0.5)
    hint = f"Did you mean '{close[0]}'?" if close else f"It may be one of {', '.join(SCHEMES)}."
    raise ConfigError(f"scheme is '{name}', and there is none of this name.", hint=hint)


def unwritten(scheme: Scheme, config: EngineConfig, shape: Shape) -> str:
    """Why a checkpoint does not serve for the scheme that was asked for; empty if it does.

    Args:
        scheme: That settings and checkpoint were taken to mean.
        config: What the user said.
        shape: Of the model.
    """
    if shape.quantization:
        own = written_scheme(shape)
        if own is None or own.name == scheme.name:
            return ""
        return f"the checkpoint of {config.model} is written in {own}"
    if scheme.plain or scheme.online:
        return ""
    return f"the checkpoint of {config.model} was not written in that format"


def _agree(config: EngineConfig, scheme: Scheme, shape: Shape) -> None:
    others = {"scheme": None}
    if config.quantization and not shape.quantization:
        said = f"quantization is '{config.quantization}'"
        other = scheme_of(config.model_copy(update=others), shape)
    elif config.dtype != "auto" and scheme.plain:
        said = f"dtype is '{config.dtype}'"
        other = scheme_of(config.model_copy(update=others), shape)
    else:
        return
    if other is not scheme:
        raise ConfigError(
            f"scheme is '{scheme.name}' and {said}, which is another one.",
            hint="Set one of the two.",
        )
