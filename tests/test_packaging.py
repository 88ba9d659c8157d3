"""The wheel carries what a run needs, and the lock file carries what the wheel needs."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(out), "."]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return zipfile.ZipFile(next(out.glob("*.whl")))


def test_the_wheel_carries_configurations_and_models(wheel):
    names = set(wheel.namelist())
    for path in (ROOT / "configs").rglob("*.yaml"):
        assert f"tts/configs/{path.relative_to(ROOT / 'configs')}" in names
    model = "tts/models/mini-reasoner"
    for file in ("config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"):
        assert f"{model}/{file}" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not any(name.startswith(("tests/", "experiments/", "configs/")) for name in names)


def test_the_wheel_has_the_command(wheel):
    entry = next(n for n in wheel.namelist() if n.endswith("entry_points.txt"))
    assert "tts = tts.cli:main" in wheel.read(entry).decode()


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_lock_is_complete():
    lines = (ROOT / "requirements" / "cpu.lock").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all("==" in pin for pin in pins)
    locked = {_normal(pin.split("==")[0]) for pin in pins}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    wanted = [*project["project"]["dependencies"], *extras["smollm2"], *extras["dev"]]
    wanted += project["build-system"]["requires"]
    for requirement in wanted:
        match = re.match(r"[\w.-]+", requirement)
        assert match and _normal(match[0]) in locked, requirement
    # The CUDA builds of PyTorch's relatives break the CPU build.
    assert not locked & {"torch", "torchvision", "torchaudio", "torchcodec", "vllm"}


def test_no_registry_is_named():
    """Where packages come from is the user's own business."""
    needles = ["pypi" + ".org", "pythonhosted" + ".org", "download." + "pytorch", "npmjs" + ".org"]
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.is_file() and path.suffix not in (".safetensors", ".png"):
            text = path.read_text(encoding="utf-8", errors="ignore")
            assert not [needle for needle in needles if needle in text], name
