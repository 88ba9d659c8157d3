"""Data sets of a hub, and local files and folders that the library `datasets` can read.

The library is optional (`pip install 'tts-scaling[tasks]'`) and imported when the first row is
read. Without a network, a data set that was downloaded before is read from its cache.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tts.errors import ConfigError
from tts.tasks.sources import Row

_PATIENCE = 5.0
"""Seconds in which a hub must say anything at all."""
_READERS = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".arrow": "arrow",
    ".txt": "text",
}


@dataclass(frozen=True)
class Hub:
    """A data set by its name on the hub ('org/name'), or a local one by its path.

    Local are a file (Parquet, CSV, TSV, JSON, JSONL, Arrow, text), a folder of such files, and a
    folder that `Dataset.save_to_disk` wrote. '~' is understood.

    Attributes:
        split: Part of the data set; for a single file there is only 'train', which stands for
            whatever is asked.
        subset: Configuration of the data set ('main' of gsm8k); None for the only one.
        revision: Branch, tag or commit on the hub; None for the newest. A commit is what makes a
            run repeatable.
    """

    split: str = "test"
    subset: str | None = None
    revision: str | None = None

    def rows(self, path: str) -> Iterator[Row]:
        """The rows of the split.

        Raises:
            ConfigError: `datasets` is not installed, there is no such data set, split or subset,
                it is not open to all, or the hub cannot be reached.
        """
        table = self._load(path)
        for index, fields in enumerate(table):
            yield Row(index, f"{path}, row {index}", fields)

    def _load(self, path: str) -> Any:
        local = Path(path).expanduser()
        with _library(path) as datasets:
            if local.exists():
                return self._local(datasets, local)
            if path.count("/") > 1 or path.startswith((".", "/", "~")) or local.suffix in _READERS:
                raise ConfigError(f"There is no file or folder {local.absolute()}.", hint=_HINT)
            with _reachable(datasets):
                return datasets.load_dataset(
                    path, self.subset, split=self.split, revision=self.revision
                )

    def _local(self, datasets: Any, path: Path) -> Any:
        if path.is_file():
            reader = _READERS.get(path.suffix.lower())
            if reader is None:
                known = ", ".join(_READERS)
                raise ConfigError(f"{path} is of no known kind.", hint=f"There are: {known}.")
            options: dict[str, Any] = {"sep": "\t"} if path.suffix.lower() == ".tsv" else {}
            return datasets.load_dataset(reader, data_files=str(path), split="train", **options)
        if (path / "dataset_dict.json").exists():
            return self._of_splits(datasets.load_from_disk(str(path)), path)
        if (path / "state.json").exists():
            return datasets.load_from_disk(str(path))
        return datasets.load_dataset(str(path), self.subset, split=self.split)

    def _of_splits(self, splits: Mapping[str, Any], path: Path) -> Any:
        if self.split not in splits:
            raise ConfigError(
                f"{path} has no split {self.split!r}; there are: {', '.join(splits)}.",
                hint="Set task.source.split.",
            )
        return splits[self.split]


_HINT = "Set task.path to a data set of the hub ('org/name'), or to a local file or folder."


@contextmanager
def _library(path: str) -> Iterator[Any]:
    """The library, quiet, with its complaints in our words."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import datasets
    except ImportError as error:
        raise ConfigError(
            f"Reading {path} needs the library datasets, which cannot be imported: {error}.",
            hint="Install it: pip install 'tts-scaling[tasks]'.",
        ) from error
    bars = datasets.is_progress_bar_enabled() and Path(path).expanduser().exists()
    if bars:
        datasets.disable_progress_bars()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield datasets
    except ConfigError:
        raise
    except Exception as error:  # the library, its readers and its transport have no common root
        raise _in_words(error, path) from error
    finally:
        if bars:
            datasets.enable_progress_bars()


def _in_words(error: Exception, path: str) -> ConfigError:
    said = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    if "gated" in str(error) or "authenticated" in str(error):
        return ConfigError(
            f"The data set {path} is not there, or not open to all: {said}.",
            hint="Accept its conditions on its page of the hub, and log in with `hf auth login`.",
        )
    if isinstance(error, ConnectionError | OSError) and not isinstance(error, FileNotFoundError):
        return ConfigError(
            f"The data set {path} is not in the cache, and the hub cannot be reached: {said}.",
            hint="Run once where there is a network, or set task.path to a local copy (a Parquet,"
            " CSV or JSONL file, or a folder).",
        )
    return ConfigError(f"The data set {path} cannot be read: {said}.", hint=_HINT)


@contextmanager
def _reachable(datasets: Any) -> Iterator[None]:
    """A block in which a hub that does not answer is not asked again and again, for minutes."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE or datasets.config.HF_HUB_OFFLINE or _answers(constants.ENDPOINT):
        yield
        return
    before = constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before


def _answers(endpoint: str) -> bool:
    """Whether something at the address answers a request, be it with an error."""
    from huggingface_hub import get_session

    try:
        get_session().head(endpoint, timeout=_PATIENCE)
    except Exception:  # of the transport, which differs between versions of the library
        return False
    return True
