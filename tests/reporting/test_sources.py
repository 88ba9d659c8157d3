"""Which folders are runs."""

from __future__ import annotations

import pytest

from tests.reporting.made import folder, record
from tts.errors import ConfigError
from tts.reporting.sources import sources


def test_runs_are_found_by_folder_by_file_and_below_a_folder(tmp_path):
    one, two = folder(tmp_path / "out/one", record()), folder(tmp_path / "out/sweep/0", record())
    folder(tmp_path / "out/one/earlier/1", record())
    assert [s.folder for s in sources([tmp_path / "out"])[0]] == [one, two]
    assert [s.folder for s in sources([one / "results.jsonl", two, one])[0]] == [one, two]


def test_what_was_moved_aside_counts_where_it_is_named(tmp_path):
    aside = folder(tmp_path / "run/earlier/1", record())
    folder(tmp_path / "run", record())
    assert len(sources([tmp_path])[0]) == 1
    assert [s.folder for s in sources([aside])[0]] == [aside]


def test_folders_without_a_run_are_named(tmp_path):
    folder(tmp_path / "run", record())
    (tmp_path / "empty").mkdir()
    found, skipped = sources([tmp_path / "run", tmp_path / "empty"])
    assert [s.name for s in found] == ["run"]
    assert skipped == [f"{tmp_path / 'empty'}: no results.jsonl in it."]


def test_names_are_as_long_as_it_takes_to_tell_them_apart(tmp_path):
    paths = [folder(tmp_path / name, record()) for name in ("a/x", "b/x", "b/y")]
    assert [s.name for s in sources(paths)[0]] == ["a/x", "b/x", "b/y"]


@pytest.mark.parametrize(
    ("name", "said"), [("", "there is no run"), ("nowhere", "no folder"), ("file", "is no results")]
)
def test_where_there_is_no_run_nothing_is_reported(tmp_path, name, said):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=said):
        sources([tmp_path / name])
