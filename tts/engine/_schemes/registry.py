"""What the installed vLLM registers, without importing it.

Its names change between versions (online `fp8` became `fp8_per_tensor`, bitsandbytes and GGUF moved
into packages of their own), and importing it takes seconds. So the source is read, not run.
"""

from __future__ import annotations

import ast
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from tts.engine._schemes.table import SCHEMES

_METHODS = ("model_executor/layers/quantization/__init__.py", "QuantizationMethods")
_CACHES = ("config/cache.py", "CacheDType")


@cache
def methods() -> frozenset[str]:
    """Quantisation methods of the installed engine and its plugins; empty if none is installed."""
    found = _literals(*_METHODS)
    plugins = {row.plugin: row.method for row in SCHEMES.values() if row.plugin}
    there = {point.dist.name for point in entry_points(group="vllm.general_plugins") if point.dist}
    return found | {plugins[name] for name in there & plugins.keys()} if found else found


@cache
def caches() -> frozenset[str]:
    """Formats of the KV cache that the installed engine takes; empty if none is installed."""
    return _literals(*_CACHES)


def _literals(path: str, name: str) -> frozenset[str]:
    """The strings of `name = Literal[...]` in a file of vLLM's."""
    spec = find_spec("vllm")
    if spec is None or not spec.submodule_search_locations:
        return frozenset()
    file = Path(spec.submodule_search_locations[0]) / path
    if not file.is_file():
        return frozenset()
    return literals(file.read_text(), name)


def literals(source: str, name: str) -> frozenset[str]:
    """The strings that a module assigns to a name as `Literal[...]`; empty if it does not."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == name for target in node.targets
        ):
            constants = (each for each in ast.walk(node.value) if isinstance(each, ast.Constant))
            return frozenset(each.value for each in constants if isinstance(each.value, str))
    return frozenset()
