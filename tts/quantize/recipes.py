"""What llm-compressor is told for each scheme: pure, and of JSON types.

Names of schemes are those of the engine's table. Defaults follow Kurtic et al. 2024, "Give Me BF16
or Give Me Death": GPTQ (Frantar et al. 2022) with clipping by the squared error for integers,
activations quantised dynamically by token, plain rounding for 8-bit floats. AWQ is Lin et al. 2023,
SmoothQuant Xiao et al. 2022. The output layer stays as it is, as do routers of mixtures.

Group sizes must divide the input width of every layer: with 4-bit integers the widest that does is
taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, Literal, get_args

from tts.engine.schemes import SCHEMES
from tts.errors import ConfigError, Unsupported

Method = Literal["rtn", "gptq", "awq"]
IGNORED = ("lm_head", r"re:.*\.gate$")
_WIDEST = (128, 64, 32)

_BY_TOKEN = {"num_bits": 8, "type": "int", "strategy": "token", "symmetric": True, "dynamic": True}


@dataclass(frozen=True, slots=True)
class Makeable:
    """A scheme that llm-compressor makes.

    Attributes:
        methods: How weights may be rounded, the usual one first.
        preset: llm-compressor's own name for it; empty if the rest says it.
        bits: Of integer weights; 0 for a preset.
        symmetric: Whether integer weights have no zero point.
        groups: Sizes of groups of weights that share a scale, of which the first that fits is
            taken; none for a scale for each output channel.
        by_token: Whether activations become 8-bit integers, scaled for each token.
        scales_need_data: Whether scales of activations are taken from data.
    """

    methods: tuple[Method, ...]
    preset: str = ""
    bits: int = 0
    symmetric: bool = True
    groups: tuple[int, ...] = ()
    by_token: bool = False
    scales_need_data: bool = False


MAKEABLE: Mapping[str, Makeable] = MappingProxyType(
    {
        "w8a8_int8": Makeable(("gptq", "rtn"), bits=8, by_token=True),
        "w8a16_int8": Makeable(("rtn", "gptq"), bits=8),
        "w4a16_gptq": Makeable(("gptq",), bits=4, groups=_WIDEST),
        "w4a16_awq": Makeable(("awq",), bits=4, symmetric=False, groups=_WIDEST),
        "w4a8_int8": Makeable(("gptq", "rtn"), bits=4, groups=_WIDEST, by_token=True),
        "fp8": Makeable(("rtn",), "FP8_DYNAMIC"),
        "mxfp8": Makeable(("rtn",), "MXFP8", groups=(32,)),
        "mxfp4": Makeable(("rtn",), "MXFP4", groups=(32,)),
        "nvfp4": Makeable(("rtn",), "NVFP4", groups=(16,), scales_need_data=True),
        "nvfp4a16": Makeable(("rtn",), "NVFP4A16", groups=(16,)),
    }
)
"""By the name of the scheme."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is made of one model.

    Attributes:
        scheme: Its name.
        method: How weights are rounded: to the nearest (`rtn`), or by `gptq` or `awq`.
        group: Weights that share a scale; 0 for all of an output channel.
        smooth: Strength of SmoothQuant, 0 (none) to 1.
        narrow: Whether 8-bit integers of weights use 7 bits, for processors that sum products in
            pairs in 16 bits (`Hardware.adds_int8_exactly`).
    """

    scheme: str
    method: Method
    group: int
    smooth: float = 0.0
    narrow: bool = False

    @property
    def needs_data(self) -> bool:
        """Whether it is made with calibration data."""
        data = MAKEABLE[self.scheme].scales_need_data
        return data or self.method != "rtn" or self.smooth > 0

    @property
    def weights_only(self) -> bool:
        """Whether activations stay as they are, so that plain weights can stand for it."""
        return SCHEMES[self.scheme].weight_only

    def words(self) -> dict[str, Any]:
        """All of it, of JSON types."""
        return asdict(self)

    def modifiers(self) -> list[dict[str, Any]]:
        """llm-compressor's modifiers in their order, each as its name and its arguments."""
        found: list[dict[str, Any]] = []
        if self.smooth:
            found.append(_modifier("SmoothQuantModifier", smoothing_strength=self.smooth))
        if self.method == "awq":
            found.append(_modifier("AWQModifier"))
        name = "GPTQModifier" if self.method == "gptq" else "QuantizationModifier"
        found.append(_modifier(name, ignore=list(IGNORED), **self._scheme()))
        return found

    def _scheme(self) -> dict[str, Any]:
        made = MAKEABLE[self.scheme]
        if made.preset:
            return {"scheme": made.preset, "targets": ["Linear"]}
        weights: dict[str, Any] = {
            "num_bits": made.bits - self.narrow,
            "type": "int",
            "strategy": "group" if self.group else "channel",
            "symmetric": made.symmetric,
            "dynamic": False,
        }
        if self.group:
            weights["group_size"] = self.group
        if self.method == "gptq":
            weights["observer"] = "mse"
        layers: dict[str, Any] = {"targets": ["Linear"], "weights": weights}
        if made.by_token:
            layers["input_activations"] = _BY_TOKEN
        return {"config_groups": {"group_0": layers}}


def _modifier(name: str, **arguments: Any) -> dict[str, Any]:
    return {"name": name, "arguments": arguments}


def recipe_for(
    scheme: str,
    widths: Sequence[int],
    *,
    method: str | None = None,
    group: int | None = None,
    smooth: float = 0.0,
    narrow: bool = False,
) -> Recipe:
    """The recipe of a scheme for a model.

    Args:
        scheme: Its name.
        widths: Input widths of the model's layers, at least one.
        method: How weights are rounded; the usual one of the scheme by default.
        group: Weights that share a scale; the most that fit by default, 0 for all of a channel.
        smooth: Strength of SmoothQuant, 0 (none) to 1.
        narrow: Whether 8-bit weights under 8-bit activations use 7 bits; others never do.

    Raises:
        ConfigError: There is no such scheme, or an option does not belong to it.
        Unsupported: llm-compressor does not make it, or no group size fits the model.
    """
    made = makeable(scheme)
    chosen = made.methods[0] if method is None else method
    if chosen not in made.methods:
        raise ConfigError(
            f"method is {chosen!r}; {scheme} is made by {' or '.join(made.methods)}.",
            hint="Leave it out." if chosen in get_args(Method) else "",
        )
    if not 0 <= smooth <= 1:
        raise ConfigError(f"smooth is {smooth:g}; it must lie in [0, 1].", hint="Set smooth=0.5.")
    if smooth and not made.by_token:
        raise ConfigError(
            f"smooth is {smooth:g}, and activations of {scheme} are no 8-bit integers.",
            hint="SmoothQuant is made for scheme=w8a8_int8.",
        )
    narrow = narrow and made.by_token and made.bits == 8
    return Recipe(scheme, chosen, _group(scheme, made, widths, group), smooth, narrow)


def makeable(scheme: str) -> Makeable:
    """What there is to know of a scheme that llm-compressor makes.

    Raises:
        ConfigError: There is no such scheme.
        Unsupported: llm-compressor does not make it.
    """
    if scheme in MAKEABLE:
        return MAKEABLE[scheme]
    names = ", ".join(MAKEABLE)
    known = SCHEMES.get(scheme)
    if known is None:
        close = get_close_matches(scheme, MAKEABLE, n=2, cutoff=0.4)
        meant = f"Did you mean {' or '.join(close)}? " if close else ""
        raise ConfigError(f"There is no scheme {scheme!r}.", hint=f"{meant}There are: {names}.")
    if known.online:
        how = f"The engine applies it while it loads: model.engine.quantization={known.online[0]}. "
    elif known.plain:
        how = f"That is no quantisation: set model.engine.dtype={known.dtype}. "
    else:
        how = ""
    raise Unsupported(
        f"llm-compressor does not make {scheme} ({known.title}).", hint=f"{how}It makes {names}."
    )


def _group(scheme: str, made: Makeable, widths: Sequence[int], wanted: int | None) -> int:
    """The group size: the wanted one if it is allowed, else the widest that divides all widths."""
    if not made.groups:
        if wanted:
            raise ConfigError(
                f"group is {wanted}; {scheme} has one scale for each channel.", hint="Leave it out."
            )
        return 0
    free = not made.preset
    if wanted is not None and wanted not in (*made.groups, *([0] if free else [])):
        sizes = " or ".join(map(str, made.groups))
        raise ConfigError(f"group is {wanted}; {scheme} takes {sizes}.", hint="Leave it out.")
    if wanted == 0:
        return 0
    tried = made.groups if wanted is None else (wanted,)
    fitting = [size for size in tried if all(width % size == 0 for width in widths)]
    if fitting:
        return fitting[0]
    odd = next(width for width in widths if width % tried[-1])
    raise Unsupported(
        f"No group of {' or '.join(map(str, tried))} weights divides a layer of this model whose"
        f" input is {odd} wide.",
        hint="Take one scale for each channel: group=0." if free else "Take an 8-bit scheme.",
    )
