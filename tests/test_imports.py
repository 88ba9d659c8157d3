"""Imports go one way, and heavy libraries stay in the room that needs them."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "tts"

# What the modules of each room may import from the package, besides their own room.
BASE = {"types", "errors", "seeds", "watching", "protocols", "signals", "selectors"}
ROOMS = {
    "types": set(),
    "errors": set(),
    "seeds": set(),
    "watching": {"types"},
    "_thinking": {"watching"},
    "protocols": {"types", "errors", "watching"},
    "signals": {"types", "errors"},
    "selectors": {"types", "errors", "protocols", "signals"},
    "_author": {"types"},
    "_garbage": set(),
    "budget": BASE,
    "sandbox": {"errors"},
    "strategies": BASE | {"_author", "budget"},
    "verifiers": BASE | {"_author", "budget", "engine", "sandbox"},
    "tasks": BASE | {"_garbage", "budget", "sandbox"},
    "engine": {"types", "errors"},
    "backends": BASE | {"budget", "engine"},
    "_metering": BASE | {"budget"},
    "trimming": BASE,
    "_crew": BASE | {"_thinking"},
    "_questions": BASE,
    "_cuts": BASE | {"_metering"},
    "_history": BASE | {"_crew"},
    "_chain": BASE | {"budget", "_metering", "_crew", "_cuts", "_history", "_questions"},
    "_watched": BASE | {"_chain"},
    "_environment": BASE | {"budget", "_metering", "_chain", "_watched"},
    "_pairing": BASE,
    "_structured": BASE,
    "solve": BASE | {"budget", "tasks", "_metering", "_environment", "_pairing", "_structured"},
    "testing": BASE | {"budget", "backends", "tasks", "solve"},
    "analysis": {"types", "errors", "watching", "protocols", "signals"},
    "executors": BASE | {"budget", "solve"},
    "evaluation": BASE | {"_garbage", "budget", "tasks", "solve", "analysis", "executors"},
    "audit": BASE | {"evaluation"},
    "reporting": {"types", "errors", "seeds", "evaluation"},
    "integrations": BASE | {"solve", "evaluation", "engine"},
    "advice": {"types", "errors", "seeds", "evaluation", "engine"},
    "quantize": BASE | {"tasks", "solve", "strategies", "evaluation", "engine"},
    "tuning": BASE | {"tasks", "solve", "strategies", "evaluation", "engine"},
}
# Modules of other people that only these rooms may import at all.
LIBRARIES = {
    "vllm": {"engine", "backends", "advice"},
    "torch": {"engine", "quantize"},
    "transformers": {"engine", "backends", "quantize"},
    "xgrammar": {"engine"},
    "llmcompressor": {"quantize"},
    "hydra": {"cli"},
    "omegaconf": {"cli"},
    "openai": {"backends", "verifiers"},
    "datasets": {"tasks", "quantize"},
    "reasoning_gym": {"tasks"},
    "ray": {"executors"},
    "inspect_ai": {"integrations"},
    "opentelemetry": {"integrations"},
    "mlflow": {"integrations"},
    "wandb": {"integrations"},
    "prometheus_client": {"integrations"},
}


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(str(node.module))
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


FILES = sorted(p for p in PACKAGE.rglob("*.py") if room(p) not in ("cli", "__init__", "__main__"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_one_way(path):
    allowed = ROOMS[room(path)] | {room(path)}
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "tts" and len(parts) > 1:
            assert parts[1] in allowed or parts[1] == "__version__", f"{path.name} imports {name}"
        for library, rooms in LIBRARIES.items():
            if parts[0] == library:
                assert room(path) in rooms, f"{path.name} imports {library}"


def test_the_engine_is_known_to_few():
    """Who decodes with it, advises on it, writes for it or shows it; servers its tokenizers."""
    for path in FILES:
        inside = str(path.relative_to(PACKAGE))
        if inside.startswith(
            (
                *("engine/", "backends/vllm.py", "backends/_vllm/"),
                *("verifiers/prm.py", "verifiers/_prm/"),
                *("advice/", "quantize/", "tuning/"),
                *("integrations/prometheus.py", "integrations/_figures.py"),
            )
        ):
            continue
        known = {name for name in imports(path) if name.startswith("tts.engine")}
        if inside.startswith(("backends/openai.py", "backends/_openai/")):
            known = {name for name in known if not name.startswith("tts.engine.text")}
        assert not known, f"{inside} imports {known}"


def test_what_runs_elsewhere_knows_nothing_of_us():
    """The worker of `tts quantize` is run by its path, in the environment of llm-compressor."""
    foreign = {"torch", "transformers", "llmcompressor", "datasets", "tqdm"}
    for path in FILES:
        if room(path) == "quantize":
            roots = {name.partition(".")[0] for name in imports(path)}
            assert not roots & ({"tts"} if path.name == "_worker.py" else foreign), path


def test_openai_is_known_to_the_prm_alone_among_verifiers():
    for path in FILES:
        if room(path) == "verifiers" and "_prm" not in path.parts:
            assert not any(name.startswith("openai") for name in imports(path)), path


def test_importing_the_package_is_light():
    code = (
        "import sys, tts; heavy = {'vllm', 'torch', 'transformers', 'hydra', 'matplotlib', 'scipy',"
        " 'sympy', 'openai', 'datasets', 'pandas', 'reasoning_gym'} & set(sys.modules);"
        " assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
