"""What a machine lacks for a scheme or a format of the cache, what runs on it, and how: pure."""

from __future__ import annotations

from collections.abc import Callable, Container
from math import log2

from tts.engine._schemes.caches import CACHE_FORMATS
from tts.engine._schemes.formats import Arithmetic, CacheFormat, Capability, Scheme
from tts.engine._schemes.registry import methods as registered
from tts.engine._schemes.table import SCHEMES
from tts.engine.hardware import Hardware

Operator = Callable[[str], bool]
"""Whether the engine's compiled operators for this machine include a name."""

_WORDS = {"amx": "AMX", "avx512": "AVX-512"}


def lack(
    scheme: Scheme,
    hardware: Hardware,
    operator: Operator,
    *,
    experts: bool = False,
    methods: Container[str] | None = None,
) -> str:
    """What the machine, or the engine on it, lacks for a scheme: words that go behind "needs".

    Args:
        scheme: A row of the table.
        hardware: The machine.
        operator: Whether the engine's compiled operators include a name.
        experts: Whether the model is a mixture of experts.
        methods: Quantisation methods that the engine registers; by default those of the one that
            is installed, and any if none is.

    Returns:
        Nothing if the machine can run it.
    """
    if scheme.absent:
        return scheme.absent
    if hardware.is_cuda:
        missing = _lack_on_gpu(scheme, hardware)
    else:
        missing = _lack_on_processor(scheme, hardware, operator, experts)
    return missing or _lack_of_method(scheme, methods)


def _lack_on_gpu(scheme: Scheme, hardware: Hardware) -> str:
    needs, here = scheme.needs, hardware.cuda_capability
    if needs.gpu is None:
        return "a processor, as no GPU has a kernel for it"
    if here < needs.gpu:
        return f"a GPU of compute capability {_dotted(needs.gpu)} or more"
    if needs.before and here >= needs.before:
        return f"a GPU of compute capability below {_dotted(needs.before)}"
    return ""


def _lack_on_processor(
    scheme: Scheme, hardware: Hardware, operator: Operator, experts: bool
) -> str:
    needs = scheme.needs
    if needs.isa is None:
        return "a GPU"
    # All of vLLM's kernels for quantised experts on x86 are written for AMX.
    isa = frozenset({"amx"}) if experts and not scheme.plain else needs.isa
    if isa and not isa & hardware.isa:
        return f"a GPU, or a processor with {_listed(isa)}"
    missing = [name for name in needs.operators if not operator(name)]
    if missing:
        return f"a GPU, or the kernel {missing[0]}, which vLLM's build for this processor lacks"
    return ""


def _lack_of_method(scheme: Scheme, methods: Container[str] | None) -> str:
    asked = (scheme.method,) if scheme.plugin else () if scheme.written else scheme.online
    if not asked:
        return ""
    known = registered() if methods is None else methods
    if known == frozenset() or any(name in known for name in asked):
        return ""
    if scheme.plugin:
        return f"the package {scheme.plugin} beside vLLM"
    return f"a version of vLLM that has '{asked[0]}'"


def cache_lack(fmt: CacheFormat, hardware: Hardware) -> str:
    """What the machine lacks for a format of the KV cache: words that go behind "needs".

    Args:
        fmt: A row of the table.
        hardware: The machine.

    Returns:
        Nothing if the machine can run it.
    """
    if hardware.is_cuda:
        if hardware.cuda_capability >= fmt.gpu:
            return ""
        return f"a GPU of compute capability {_dotted(fmt.gpu)} or more"
    if fmt.isa is None:
        return "a GPU"
    if fmt.isa and not fmt.isa & hardware.isa:
        return f"a GPU, or a processor with {_listed(fmt.isa)}"
    return ""


def feasible(
    hardware: Hardware,
    operator: Operator,
    *,
    experts: bool = False,
    methods: Container[str] | None = None,
) -> list[Scheme]:
    """The schemes that the machine can run, in the order of the table; arguments as of `lack`.

    Those that touch nothing but experts are left out for a model that has none.
    """
    return [
        scheme
        for scheme in SCHEMES.values()
        if (experts or not scheme.experts_only)
        and not lack(scheme, hardware, operator, experts=experts, methods=methods)
    ]


def feasible_caches(hardware: Hardware) -> list[CacheFormat]:
    """The formats of the KV cache that the machine can run, in the order of the table."""
    return [fmt for fmt in CACHE_FORMATS.values() if not cache_lack(fmt, hardware)]


def nearest(
    scheme: Scheme,
    hardware: Hardware,
    operator: Operator,
    *,
    experts: bool = False,
    methods: Container[str] | None = None,
) -> Scheme | None:
    """The scheme most like another that the machine can run; arguments as of `lack`.

    What counts, in this order: that it is the very same; weights of as many bits, to the next power
    of two; products that the hardware does itself; activations of as many bits, as they are when
    they are multiplied; the same kind of number, whole or floating.

    Returns:
        None if the machine can run none.
    """

    def unlike(other: Scheme) -> tuple[bool, int, bool, int, bool]:
        narrow = arithmetic_on(other, hardware) == other.arithmetic
        return (
            other is not scheme,
            abs(round(log2(other.weight_bits)) - round(log2(scheme.weight_bits))),
            emulated(other, hardware),
            abs((other.activation_bits if narrow else 16) - scheme.activation_bits),
            _floating(other) != _floating(scheme),
        )

    able = feasible(hardware, operator, experts=experts, methods=methods)
    return min(able, key=unlike, default=None)


def arithmetic_on(scheme: Scheme, hardware: Hardware) -> Arithmetic:
    """The type in which a machine takes a scheme's products: which of its peaks holds.

    Weights that are narrower than the activations are widened, and so are both where the hardware
    has no products of their type: then the peak is that of 16 bits, or on a processor without
    bfloat16 of 32.
    """
    if scheme.plain or scheme.arithmetic == "int8":
        return scheme.arithmetic
    own = hardware.is_cuda and hardware.cuda_capability >= scheme.needs.native
    if not scheme.weight_only and (own or "amx_fp8" in hardware.isa):
        return scheme.arithmetic
    if hardware.has_bf16:
        return "bf16"
    return "fp16" if hardware.is_cuda else "fp32"


def emulated(scheme: Scheme, hardware: Hardware) -> bool:
    """Whether a processor can only imitate the scheme's arithmetic, at a fraction of the speed."""
    if hardware.is_cuda:
        return False
    if scheme.plain:
        own = {"bf16": hardware.has_bf16, "fp16": "avx512_fp16" in hardware.isa}
        return not own.get(scheme.name, True)
    return scheme.reference and arithmetic_on(scheme, hardware) != "fp8"


def _floating(scheme: Scheme) -> bool:
    return scheme.plain or "fp" in scheme.name or "nf" in scheme.name


def _dotted(capability: Capability) -> str:
    return f"{capability[0]}.{capability[1]}"


def _listed(isa: frozenset[str]) -> str:
    return " or ".join(_WORDS[name] for name in sorted(isa, reverse=True))
