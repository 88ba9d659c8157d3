"""Environments: what is not whole is noticed, and made anew; all of it with real Pythons."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace

import pytest

from tests.quantize.sites import distributions, install
from tts.errors import TTSError
from tts.quantize import environment
from tts.quantize.environment import Environment, Plan, ensure, plan
from tts.quantize.lockfile import parse
from tts.quantize.shared import shareable


@pytest.fixture
def wanted(tmp_path):
    """A plan whose packages are all here, so that nothing is fetched."""
    site = tmp_path / "here"
    install(site, "torch", "2.13.0+cpu")
    install(site, "llmcompressor", "0.14")
    lock = parse("llmcompressor==0.14\n")
    shared = shareable(lock.pins, distributions(site))
    return Plan(lock, shared, trial="import llmcompressor, torch")


@pytest.fixture
def said():
    return []


def test_it_is_made_once_and_anew_where_it_is_not_whole(tmp_path, wanted, said):
    parent = tmp_path / "environments"
    made = ensure(parent, said.append, wanted)
    answer = "import torch, sys; print(torch.version, sys.prefix)"
    done = subprocess.run([made.python, "-I", "-c", answer], capture_output=True, text=True)
    assert done.stdout.split() == ["2.13.0+cpu", str(made.folder)]
    assert made.lacks(wanted.versions) == ""

    said.clear()
    assert ensure(parent, said.append, wanted) == made
    assert said == []  # found, and left alone

    (made.site / "torch" / "__init__.py").unlink()
    assert made.lacks(wanted.versions) == "files of torch are missing"
    ensure(parent, said.append, wanted)
    assert "not whole (files of torch are missing)" in said[0]
    assert made.lacks(wanted.versions) == ""


def test_each_way_of_not_being_whole_is_named(tmp_path):
    made = Environment(tmp_path / "made")
    assert not made.finished
    assert made.lacks({}) == "its Python is gone"
    made.python.parent.mkdir(parents=True)
    made.python.touch()
    install(made.site, "numpy", "2.0")
    assert made.lacks({"numpy": "2.0"}) == ""
    assert made.lacks({"numpy": "2.1"}) == "numpy 2.1 is missing"
    assert made.lacks({"numpy": "2.0", "torch": "2.13"}) == "torch 2.13 is missing"
    (made.site / "numpy" / "__init__.py").unlink()
    assert made.lacks({"numpy": "2.0"}) == "files of numpy are missing"
    made.finish()
    assert made.finished


def test_what_a_kill_left_is_removed(tmp_path, wanted, said, monkeypatch):
    left = tmp_path / "environments" / wanted.name
    (left / "lib").mkdir(parents=True)
    (left / "lib" / "rubbish").touch()
    ensure(left.parent, said.append, wanted)
    assert "it was never finished" in said[0]
    assert not (left / "lib" / "rubbish").exists()


def test_pip_says_why_it_failed_and_nothing_is_left(tmp_path, wanted, said, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # the user's own settings are heeded
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    lock = parse("llmcompressor==0.14\nno-such-thing==1.0\n")
    broken = replace(wanted, lock=lock)
    assert broken.fresh == ["no-such-thing==1.0"]
    with pytest.raises(TTSError, match="No matching distribution found for no-such-thing"):
        ensure(tmp_path / "environments", said.append, broken)
    assert not (tmp_path / "environments" / broken.name).exists()


def test_what_does_not_import_is_no_environment(tmp_path, wanted, said):
    broken = replace(wanted, trial="import torch, vllm")
    with pytest.raises(TTSError, match="No module named 'vllm'"):
        ensure(tmp_path / "environments", said.append, broken)
    assert not (tmp_path / "environments" / broken.name).exists()


def test_a_full_disk_is_noticed_before_anything_is_made(tmp_path, wanted, said, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1 << 20)
    monkeypatch.setattr(environment.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(TTSError, match=r"needs 4\d\d MiB in .*, and 1 are free"):
        ensure(tmp_path / "environments", said.append, wanted)
    assert not (tmp_path / "environments" / wanted.name).exists()


def test_another_torch_is_another_environment(wanted):
    other = {**wanted.shared, "torch": replace(wanted.shared["torch"], version="2.11.0+cu128")}
    assert replace(wanted, shared=other).name != wanted.name
    assert wanted.name.startswith("llm-compressor-0.14-")


def test_on_this_machine_pip_has_little_to_do():
    """PyTorch comes from here, and with it most of the rest."""
    found = plan()
    assert "torch" in found.shared
    assert any(pin.startswith("llmcompressor==") for pin in found.fresh)
    assert not any(pin.startswith(("torch==", "nvidia-cu")) for pin in found.fresh)
    assert len(found.fresh) + len(set(found.shared) & set(found.lock.pins)) == len(found.lock.pins)
