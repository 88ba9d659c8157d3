"""The tables of docs/engine.md, made from the code; run as a program it puts them there."""

from __future__ import annotations

from pathlib import Path

from tts.engine.schemes import CACHE_FORMATS, SCHEMES, CacheFormat, Scheme

PAGE = Path(__file__).parents[2] / "docs" / "engine.md"
_ISA = {"amx": "AMX", "avx512": "AVX-512"}


def tables() -> dict[str, str]:
    """Markdown by the name of its place on the page."""
    schemes = [
        "| scheme | weights and activations | bits | products | comes from | GPU | processor |"
    ]
    schemes += ["| --- | --- | --- | --- | --- | --- | --- |", *map(_scheme, SCHEMES.values())]
    caches = ["| `kv_cache_dtype` | keys and values | bits, head of 128 | GPU | processor |"]
    caches += ["| --- | --- | --- | --- | --- |", *map(_cache, CACHE_FORMATS.values())]
    return {"schemes": "\n".join(schemes), "caches": "\n".join(caches)}


def _scheme(row: Scheme) -> str:
    cells = [f"`{row.name}`", row.title, f"{row.weight_bits:.4g}", _products(row)]
    cells += [_origin(row), _gpu(row), _processor(row)]
    return f"| {' | '.join(cells)} |"


def _products(row: Scheme) -> str:
    return "16 bits" if row.weight_only else row.arithmetic


def _origin(row: Scheme) -> str:
    if row.plain:
        return f"`dtype={row.dtype}`"
    ways = [f"`quantization={row.online[0]}`"] if row.online else []
    if row.written:
        ways.append("a checkpoint, calibrated" if row.calibration else "a checkpoint")
    return ", or ".join(ways) + (f"; `{row.plugin}`" if row.plugin else "")


def _gpu(row: Scheme) -> str:
    needs = row.needs
    if row.absent or needs.gpu is None:
        return "no"
    said = _dotted(needs.gpu)
    said += f" to below {_dotted(needs.before)}" if needs.before else ""
    return said + (f", itself from {_dotted(needs.native)}" if needs.native > needs.gpu else "")


def _processor(row: Scheme) -> str:
    needs = row.needs
    if needs.isa is None:
        return "no"
    said = [_isa(needs.isa), *(f"kernel `{name}`" for name in needs.operators)]
    return ", ".join(said) + ("; slow" if row.reference else "")


def _cache(row: CacheFormat) -> str:
    # Keys and values of a head have their scales apart.
    bits = f"{row.bits + row.head_bits / 128:.4g}" if row.bits else "of `dtype`"
    processor = "no" if row.isa is None else _isa(row.isa)
    return f"| `{row.name}` | {row.title} | {bits} | {_dotted(row.gpu)} | {processor} |"


def _isa(isa: frozenset[str]) -> str:
    return " or ".join(_ISA[name] for name in sorted(isa, reverse=True)) or "any"


def _dotted(capability: tuple[int, int]) -> str:
    return f"{capability[0]}.{capability[1]}"


def filled(page: str) -> str:
    """A page with the tables in their places: between `<!-- name -->` and `<!-- /name -->`."""
    for name, table in tables().items():
        before, after = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        head, _, rest = page.partition(before)
        page = f"{head}{before}{table}\n{after}{rest.partition(after)[2]}"
    return page


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
