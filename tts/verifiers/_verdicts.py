"""A file of judgements: what was said of each answer, and what saying it cost.

Knows keys only, which somebody else makes. Several processes may use one file at a time (on a local
disk: SQLite's write-ahead log needs shared memory).
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from tts.errors import ConfigError
from tts.types import Score, Usage

_APPLICATION = 0x74747356  # "ttsV", at a fixed place of the file: whose database it is
_LOCKED_SECONDS = 30.0  # how long other processes' writes are waited for
_TABLE = """CREATE TABLE IF NOT EXISTS verdicts (
    key BLOB PRIMARY KEY, raw REAL NOT NULL, scale TEXT NOT NULL,
    tokens INTEGER NOT NULL, flops REAL NOT NULL, usd REAL NOT NULL)"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One judgement.

    Attributes:
        score: What was said.
        cost: Tokens, FLOPs and dollars that were charged for it, in verifier terms.
    """

    score: Score
    cost: Usage


class Verdicts:
    """Judgements by key.

    Args:
        path: Of the file (`*.sqlite`); made if it is not there.

    Raises:
        ConfigError: The file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=_LOCKED_SECONDS, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise self._unusable(f"cannot be opened ({error})") from error
        try:
            self._prepare()
        except BaseException as error:
            self._connection.close()
            if isinstance(error, sqlite3.Error):
                raise self._unusable(f"cannot be read ({error})") from error
            raise

    def get(self, key: bytes) -> Verdict | None:
        """The judgement under a key, or None.

        Raises:
            ConfigError: The file is damaged.
        """
        query = "SELECT raw, scale, tokens, flops, usd FROM verdicts WHERE key = ?"
        try:
            row = self._connection.execute(query, (key,)).fetchone()
            if row is None:
                return None
            raw, scale, tokens, flops, usd = row
            return Verdict(Score(raw, scale), Usage(verifier_tokens=tokens, flops=flops, usd=usd))
        except (sqlite3.Error, ValueError) as error:
            raise self._unusable(f"is damaged ({error})") from error

    def put(self, key: bytes, verdict: Verdict) -> None:
        """Keep a judgement; the first under a key stays.

        Raises:
            ConfigError: The file cannot be written.
        """
        score, cost = verdict.score, verdict.cost
        row = (key, score.raw, score.scale, cost.verifier_tokens, cost.flops, cost.usd)
        try:
            self._connection.execute("INSERT OR IGNORE INTO verdicts VALUES (?,?,?,?,?,?)", row)
        except sqlite3.Error as error:
            raise self._unusable(f"cannot be written ({error})") from error

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _prepare(self) -> None:
        connection = self._connection
        ((owner,),) = connection.execute("PRAGMA application_id")
        ((tables,),) = connection.execute("SELECT count(*) FROM sqlite_master")
        if owner != _APPLICATION and (owner or tables):
            raise self._unusable("is another program's database")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(_TABLE)
        connection.execute(f"PRAGMA application_id = {_APPLICATION}")

    def _unusable(self, why: str) -> ConfigError:
        return ConfigError(
            f"verifier.path: the file {self._path} {why}.",
            hint="Choose another file, or remove it to begin anew.",
        )
