"""Where a replay cache keeps its entries: one SQLite file, written by a thread of its own.

It knows nothing of requests; a key is a hash that somebody else makes. Several processes may use
one file at a time (on a local disk: SQLite's write-ahead log needs shared memory). What has been
put can be got at once, and is on disk within `_BATCH_SECONDS`, or after `flush`; a process that is
killed loses what was younger, and never harms the file.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from tts.backends._replay.entry import Entry
from tts.errors import ConfigError

FILE = "replay.sqlite"

_LOG = logging.getLogger("tts.replay")
_APPLICATION = 0x74747352  # "ttsR", at a fixed place of the file: whose database it is
_LEAST_BYTES = 512  # of any database
_BATCH_SECONDS, _BATCH = 0.2, 256
_LOCKED_SECONDS = 30.0  # how long other processes' writes are waited for

# The n-th brings a file of version n to version n + 1; each must say all of its SQL in one piece.
_MIGRATIONS = (
    """CREATE TABLE entries (
        key BLOB PRIMARY KEY, detail INTEGER NOT NULL, ended INTEGER NOT NULL,
        completion INTEGER NOT NULL, value BLOB NOT NULL)""",
)

_PUT = """INSERT INTO entries VALUES (?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET
    detail = excluded.detail, ended = excluded.ended, completion = excluded.completion,
    value = excluded.value
    WHERE excluded.detail > detail OR (excluded.detail = detail AND NOT ended
        AND (excluded.ended OR excluded.completion > completion))"""


def archive_file(path: str | Path) -> Path:
    """The file of an archive, which may be named by its folder."""
    path = Path(path).expanduser()
    return path if path.is_file() or path.suffix == ".sqlite" else path / FILE


class Archive:
    """Entries by key.

    Args:
        path: A folder, or the file itself (`*.sqlite`); made if it is not there.

    Raises:
        ConfigError: The file cannot be used.
    """

    def __init__(self, path: str | Path) -> None:
        self.file = archive_file(path)
        self._fresh: dict[bytes, Entry] = {}  # not on disk yet
        self._lock = threading.Lock()  # holds `_fresh`
        self._queue: queue.SimpleQueue[bytes | threading.Event | None] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None
        self._recording = True
        self._reader = _connect(self.file)
        self._target = _connect(self.file)  # the writer's

    def get(self, key: bytes) -> Entry | None:
        """The entry of a key, or None.

        Raises:
            ConfigError: The file is damaged.
        """
        with self._lock:
            fresh = self._fresh.get(key)
        if fresh is not None:
            return fresh
        try:
            found = self._reader.execute(
                "SELECT value FROM entries WHERE key = ?", (key,)
            ).fetchone()
            return Entry.decoded(found[0]) if found else None
        except (sqlite3.DatabaseError, ValueError) as error:
            raise _unusable(self.file, f"is damaged ({error})") from error

    def put(self, key: bytes, entry: Entry) -> None:
        """Keep an entry, unless the one that is there says as much."""
        if not self._recording:
            return
        with self._lock:
            known = self._fresh.get(key)
            if known is not None and not entry.replaces(known):
                return
            self._fresh[key] = entry
        if self._writer is None:
            self._writer = threading.Thread(target=self._write, name="replay cache", daemon=True)
            self._writer.start()
        self._queue.put(key)

    def flush(self) -> None:
        """Wait until everything that has been put is on disk."""
        if self._writer is not None:
            done = threading.Event()
            self._queue.put(done)
            done.wait()

    def close(self) -> None:
        """Write what is left and let go of the file; safe to call again."""
        if self._writer is not None:
            self._queue.put(None)
            self._writer.join()
            self._writer = None
        self._recording = False
        self._target.close()
        self._reader.close()

    def _write(self) -> None:
        """The writer's life."""
        going = True
        while going:
            keys, waiting, going = self._batch()
            self._save(keys)
            for event in waiting:
                event.set()

    def _batch(self) -> tuple[list[bytes], list[threading.Event], bool]:
        """Keys to write, who waits for that, and whether to go on."""
        keys: list[bytes] = []
        end = None
        while len(keys) < _BATCH:
            left = None if end is None else end - time.monotonic()
            try:
                item = self._queue.get(timeout=left if left is None else max(0.0, left))
            except queue.Empty:
                break
            if item is None:
                return keys, [], False
            if isinstance(item, threading.Event):
                return keys, [item], True
            keys.append(item)
            end = end or time.monotonic() + _BATCH_SECONDS
        return keys, [], True

    def _save(self, keys: Iterable[bytes]) -> None:
        with self._lock:
            entries = {key: self._fresh[key] for key in keys if key in self._fresh}
        if not entries:
            return
        try:
            rows = [
                (key, entry.detail, entry.ended, entry.completion, entry.encoded())
                for key, entry in entries.items()
            ]
            with _transaction(self._target):
                self._target.executemany(_PUT, rows)
        except (sqlite3.Error, TypeError, ValueError) as error:
            self._give_up(error)
        with self._lock:
            for key, entry in entries.items():
                if self._fresh.get(key) is entry:
                    del self._fresh[key]

    def _give_up(self, error: Exception) -> None:
        """What is paid is not lost: results are kept elsewhere. So the run goes on."""
        if self._recording:
            self._recording = False
            _LOG.warning(
                "The replay cache %s cannot be written (%s): the run goes on without recording.",
                self.file, error,
            )  # fmt: skip


def _connect(file: Path) -> sqlite3.Connection:
    """A connection to a file of this version, made or brought up to date if need be.

    Raises:
        ConfigError: The file cannot be used.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # SQLite would write over a file of a few bytes. (Never open the file to look: closing it
        # would drop the locks that this process holds on it.)
        if file.exists() and 0 < file.stat().st_size < _LEAST_BYTES:
            raise _unusable(file, "is no database")
        connection = sqlite3.connect(
            file, timeout=_LOCKED_SECONDS, isolation_level=None, check_same_thread=False
        )
    except (OSError, sqlite3.Error) as error:
        raise _unusable(file, f"cannot be opened ({error})") from error
    try:
        _prepare(connection, file)
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.Error):
            raise _unusable(file, f"cannot be read ({error})") from error
        raise
    return connection


def _prepare(connection: sqlite3.Connection, file: Path) -> None:
    version = _check(connection, file)
    if version < len(_MIGRATIONS):
        with _transaction(connection):
            for migration in _MIGRATIONS[_check(connection, file) :]:
                connection.execute(migration)
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            connection.execute(f"PRAGMA user_version = {len(_MIGRATIONS)}")
    _log_ahead(connection)
    # With the log ahead, this is safe against a kill; a power cut may cost the last entries.
    connection.execute("PRAGMA synchronous = NORMAL")


def _check(connection: sqlite3.Connection, file: Path) -> int:
    """The version of a file, 0 for a new one."""
    ((owner,),) = connection.execute("PRAGMA application_id")
    ((version,),) = connection.execute("PRAGMA user_version")
    ((tables,),) = connection.execute("SELECT count(*) FROM sqlite_master")
    if owner != _APPLICATION and (owner or version or tables):
        raise _unusable(file, "is another program's database")
    if version > len(_MIGRATIONS):
        raise ConfigError(
            f"The replay cache {file} is of version {version}; this program knows versions up to"
            f" {len(_MIGRATIONS)}.",
            hint="Update this program, or choose another folder.",
        )
    return int(version)


def _log_ahead(connection: sqlite3.Connection) -> None:
    """Turn the write-ahead log on; while another process does so, SQLite does not wait itself."""
    end = time.monotonic() + _LOCKED_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.01)


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):  # a full disk has ended it already
            connection.execute("ROLLBACK")
        raise


def _unusable(file: Path, why: str) -> ConfigError:
    return ConfigError(
        f"The replay cache {file} {why}.",
        hint="Choose another folder, or remove the file to begin anew.",
    )
