"""Data sets of the hub and local files, through the library itself; no network is needed."""

from __future__ import annotations

import csv
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tts.errors import ConfigError
from tts.tasks import DatasetTask, Fields, Hub

ROOT = Path(__file__).parents[2]
ROWS = [{"question": f"{i}+{i}?", "answer": str(2 * i), "level": i % 3} for i in range(12)]
datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    """Nothing is read from, or left in, the user's cache."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def table():
    return datasets.Dataset.from_list(ROWS)


def written(tmp_path, ending):
    path = tmp_path / f"sums{ending}"
    if ending == ".parquet":
        table().to_parquet(path)
    elif ending in (".csv", ".tsv"):
        with path.open("w", newline="") as file:
            out = csv.DictWriter(file, ROWS[0], delimiter="\t" if ending == ".tsv" else ",")
            out.writeheader()
            out.writerows(ROWS)
    elif ending == ".json":
        path.write_text(json.dumps(ROWS))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".tsv", ".json", ".jsonl"])
def test_local_files(tmp_path, ending, capfd):
    path = written(tmp_path, ending)
    capfd.readouterr()
    task = DatasetTask(path, source=Hub(), fields=Fields(metadata=["level"]))
    assert [item.gold for item in task] == [row["answer"] for row in ROWS]
    assert task.problems[4].id == "sums-4"
    assert task.problems[4].metadata == {"level": 1}
    assert task.problems[4].messages[0].content == "4+4?"
    assert capfd.readouterr() == ("", "")


def test_folders(tmp_path):
    folder = tmp_path / "data" / "sums"
    folder.mkdir(parents=True)
    table().to_parquet(folder / "test-00000.parquet")
    table().select([0]).to_parquet(folder / "train-00000.parquet")
    assert len(DatasetTask(folder, source=Hub(split="test"))) == 12
    assert len(DatasetTask(folder, source=Hub(split="train"))) == 1
    assert len(DatasetTask(folder, source=Hub(split="test[:5]"))) == 5
    with pytest.raises(ConfigError, match=r"cannot be read: .*dev"):
        DatasetTask(folder, source=Hub(split="dev"))


def test_what_was_saved_to_disk(tmp_path):
    table().save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"test": table()}).save_to_disk(tmp_path / "many")
    assert len(DatasetTask(tmp_path / "one", source=Hub())) == 12
    assert len(DatasetTask(tmp_path / "many", source=Hub())) == 12
    with pytest.raises(ConfigError, match="has no split 'dev'; there are: test"):
        DatasetTask(tmp_path / "many", source=Hub(split="dev"))


def test_what_is_not_there(tmp_path):
    for path in ("none.parquet", "./none", "/no/such/folder", "a/b/c"):
        with pytest.raises(ConfigError, match="There is no file or folder"):
            DatasetTask(path, source=Hub())
    (tmp_path / "x.exe").write_text("")
    with pytest.raises(ConfigError, match=r"x.exe is of no known kind. There are: .parquet"):
        DatasetTask(tmp_path / "x.exe", source=Hub())
    (tmp_path / "x.parquet").write_text("no table")
    with pytest.raises(ConfigError, match="cannot be read"):
        DatasetTask(tmp_path / "x.parquet", source=Hub())


def test_a_missing_column_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"row 0 has no field 'problem'.*Did you mean 'question'"):
        DatasetTask(written(tmp_path, ".csv"), source=Hub(), fields=Fields("problem"))


# --- without a network --------------------------------------------------------------------------

SCRIPT = """
import sys, time
from tts.errors import ConfigError
from tts.tasks import DatasetTask, Hub
import datasets
started = time.monotonic()
try:
    print(len(DatasetTask("someone/sums", source=Hub())))
except ConfigError as error:
    print(error)
print(time.monotonic() - started)
"""


def offline(tmp_path, **environment):
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", SCRIPT],
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HOME": str(tmp_path), **environment},
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    *said, seconds = done.stdout.splitlines()
    assert "Traceback" not in done.stderr and "Retry" not in done.stderr
    return " ".join(said), float(seconds)


def silent():
    """A server that takes connections and never answers."""
    server = socket.create_server(("127.0.0.1", 0))
    return server, f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_hub_that_cannot_be_reached_is_one_sentence(tmp_path):
    server, mute = silent()
    with server:
        for environment in ({"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"},
                            {"HF_ENDPOINT": mute}):  # fmt: skip
            said, seconds = offline(tmp_path, **environment)
            assert said.startswith("The data set someone/sums is not in the cache"), environment
            assert "task.path to a local copy" in said
            assert seconds < 20  # asked again and again, it takes minutes
