"""Folders of checkpoints: whose they are, and that they come to be in one step."""

from __future__ import annotations

import json

import pytest

from tts.errors import ConfigError
from tts.quantize.folder import MARK, is_there, placed, read_mark

IDENTITY = {"recipe": {"scheme": "fp8", "group": 0}, "weights": "abc", "seed": None}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "deep" / "model"


def _make(folder, identity=IDENTITY):
    with placed(folder) as scratch:
        (scratch / MARK).write_text(json.dumps({"identity": identity, "layers": 3}))


def test_nothing_or_an_empty_folder_is_free(folder):
    assert not is_there(folder, IDENTITY)
    folder.mkdir(parents=True)
    assert not is_there(folder, IDENTITY)


def test_the_same_recipe_is_found_again(folder):
    _make(folder)
    assert is_there(folder, IDENTITY)
    assert read_mark(folder)["layers"] == 3
    assert [entry.name for entry in folder.parent.iterdir()] == ["model"]
    assert (folder.stat().st_mode & 0o777, (folder / MARK).stat().st_mode & 0o777) == (0o755, 0o644)


def test_another_recipe_is_never_written_over(folder):
    _make(folder)
    other = {**IDENTITY, "weights": "def", "seed": 1}
    with pytest.raises(ConfigError, match="another checkpoint; it differs in seed, weights"):
        is_there(folder, other)


@pytest.mark.parametrize("content", [None, "no json", "{}", "3"])
def test_what_is_somebody_elses_is_never_touched(folder, content):
    folder.mkdir(parents=True)
    (folder / "thesis.tex").touch()
    if content is not None:
        (folder / MARK).write_text(content)
    with pytest.raises(ConfigError, match="was not made by tts quantize"):
        is_there(folder, IDENTITY)


def test_a_file_in_its_place_is_refused(folder):
    folder.parent.mkdir()
    folder.touch()
    with pytest.raises(ConfigError, match="was not made by tts quantize"):
        is_there(folder, IDENTITY)


@pytest.mark.parametrize("fault", [RuntimeError, KeyboardInterrupt])
def test_a_fault_leaves_nothing(folder, fault):
    with pytest.raises(fault), placed(folder) as scratch:
        (scratch / "model.safetensors").touch()
        raise fault
    assert list(folder.parent.iterdir()) == []


def test_an_empty_folder_is_filled(folder):
    folder.mkdir(parents=True)
    _make(folder)
    assert is_there(folder, IDENTITY)
