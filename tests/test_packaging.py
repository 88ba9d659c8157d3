"""The wheel carries what a run needs, the lock file what the wheel needs; the README is true."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from tts.testing import check_strategy

ROOT = Path(__file__).parents[1]
PROGRAM, STRATEGY = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


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


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The wheel in an environment of its own, with what it depends on from this one."""
    root = tmp_path_factory.mktemp("installed")
    venv.create(root / "venv")
    python = root / "venv" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q"]
    subprocess.run([*pip, "--no-deps", "--no-index", wheel.filename], check=True)
    # A folder on the path, unlike a site folder, does not get its own .pth files read: the editable
    # checkout of this environment stays out.
    folders = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (site,) = (root / "venv" / "lib").glob("python*/site-packages")
    (site / "dependencies.pth").write_text("".join(f"{folder}\n" for folder in folders))
    (root / "elsewhere").mkdir()
    return root


def run(installed, *words, code=0):
    """Run a command of the installed package in a bare environment, outside the checkout."""
    done = subprocess.run(
        [str(installed / "venv" / "bin" / words[0]), *words[1:]],
        cwd=installed / "elsewhere",
        env={"PATH": "/usr/bin:/bin", "HOME": str(installed)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_installed_package_is_the_one_in_the_wheel(installed):
    said = run(installed, "python", "-c", "import tts, sys; print(tts.__file__, *sys.path)")
    package, *path = said.split()
    assert Path(package).is_relative_to(installed / "venv")
    assert str(ROOT) not in path
    assert run(installed, "tts", "--version").startswith("tts 0.")
    configs = run(installed, "python", "-c", "from tts.cli.arguments import *; print(config_dir())")
    assert Path(configs.strip()) == Path(package).parent / "configs"


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.apart
@pytest.mark.timeout(600)  # a first start without any cache
def test_the_installed_package_runs_the_program_of_the_readme(installed):
    """On its own model; that `tts run` and `tts doctor` find the rest, `check_wheel.sh` shows."""
    (installed / "elsewhere" / "example.py").write_text(PROGRAM)
    lines = run(installed, "python", "example.py").splitlines()
    assert re.match(r"\d+ for [\d,]+ completion tokens", lines[-29])
    assert len([line for line in lines if re.match(r"p\d+ \S+ \d+$", line)]) == 28


async def test_the_strategy_of_the_readme_keeps_the_contract():
    namespace: dict[str, object] = {}
    exec(compile(STRATEGY, "README.md", "exec"), namespace)
    await check_strategy(namespace["SecondThoughts"]())


def test_the_bundled_models_are_those_that_are_listed():
    folder = ROOT / "tts" / "models"
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    listed = {name: digest for digest, name in map(str.split, lines)}
    files = {p for p in folder.glob("*/*") if p.suffix != ".md"}
    assert set(listed) == {str(p.relative_to(folder)) for p in files}
    for name, digest in listed.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_lock_is_complete():
    lines = (ROOT / "requirements" / "cpu.lock").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all("==" in pin for pin in pins)
    locked = {_normal(pin.split("==")[0]) for pin in pins}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    wanted = [
        *project["project"]["dependencies"],
        *extras["smollm2"],
        *extras["tasks"],
        *extras["dev"],
    ]
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
