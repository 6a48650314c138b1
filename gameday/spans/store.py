"""Spans on disk: SQLite, bounded by number and by age."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from gameday.spans.otlp import Span

# At most so many spans (about 500 bytes each), and none that ended longer ago (seconds).
MOST = 1_000_000
KEPT = 86_400.0

_COLUMNS = tuple(field.name for field in fields(Span))
_SCHEMA = """
CREATE TABLE IF NOT EXISTS spans (
  number INTEGER PRIMARY KEY,
  trace TEXT NOT NULL, id TEXT NOT NULL, parent TEXT NOT NULL, service TEXT NOT NULL, name TEXT NOT NULL,
  start INTEGER NOT NULL, "end" INTEGER NOT NULL, failed INTEGER NOT NULL,
  resource BLOB NOT NULL, scope TEXT NOT NULL, body BLOB NOT NULL,
  UNIQUE (trace, id)
);
CREATE INDEX IF NOT EXISTS by_start ON spans (start);
CREATE INDEX IF NOT EXISTS by_service ON spans (service, name, start);
"""
_SELECT = f"SELECT {', '.join(f'{chr(34)}{name}{chr(34)}' for name in _COLUMNS)} FROM spans"  # noqa: S608 - our own names
# A span that is sent again, as exporters do after a lost answer, is the same span.
_INSERT = (
    f"INSERT OR IGNORE INTO spans ({', '.join(f'{chr(34)}{name}{chr(34)}' for name in _COLUMNS)}) "  # noqa: S608
    f"VALUES ({', '.join('?' * len(_COLUMNS))})"
)


@dataclass(frozen=True)
class Query:
    """What is searched for. Times are nanoseconds; traces with a matching span are found whole."""

    service: str | None = None
    operation: str | None = None
    since: int | None = None
    until: int | None = None
    shortest: int | None = None
    longest: int | None = None
    failed: bool | None = None
    limit: int = 20


class SpanStore:
    """May be used by several threads; one at a time is inside."""

    def __init__(self, path: Path | str, most: int = MOST, kept: float = KEPT) -> None:
        self._most, self._kept = most, kept
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = WAL")
        # What a crash of the machine takes from the last moments is no loss to a debugging aid.
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.executescript(_SCHEMA)
        self._count = int(self._one("SELECT count(*) FROM spans"))

    def close(self) -> None:
        with self._lock:
            self._database.close()

    def add(self, spans: Sequence[Span]) -> None:
        with self._lock, self._database:
            before = self._database.total_changes
            self._database.executemany(_INSERT, map(astuple, spans))
            self._count += self._database.total_changes - before
            self._prune()

    def trace(self, trace: str) -> list[Span]:
        return self._spans("WHERE trace = ? ORDER BY start, number", (trace.lower().rjust(32, "0"),))

    def services(self) -> list[str]:
        return self._column("SELECT DISTINCT service FROM spans ORDER BY service")

    def operations(self, service: str) -> list[str]:
        return self._column("SELECT DISTINCT name FROM spans WHERE service = ? ORDER BY name", (service,))

    def search(self, query: Query) -> list[list[Span]]:
        """The newest traces in which one span fits."""
        terms = {
            "service = ?": query.service,
            "name = ?": query.operation,
            "start >= ?": query.since,
            "start <= ?": query.until,
            '"end" - start >= ?': query.shortest,
            '"end" - start <= ?': query.longest,
            "failed = ?": query.failed,
        }
        wanted = {term: value for term, value in terms.items() if value is not None}
        where = f"WHERE {' AND '.join(wanted)}" if wanted else ""
        found = self._column(
            f"SELECT trace FROM spans {where} GROUP BY trace ORDER BY max(start) DESC LIMIT ?",  # noqa: S608 - terms of ours
            (*wanted.values(), query.limit),
        )
        return [self.trace(each) for each in found]

    @property
    def count(self) -> int:
        return self._count

    def _prune(self) -> None:
        """The oldest go first; a tenth more than must, so that it is not done again at once."""
        oldest = time.time_ns() - int(self._kept * 1e9)
        gone = self._database.execute('DELETE FROM spans WHERE start < ? AND "end" < ?', (oldest, oldest)).rowcount
        if self._count - gone > self._most:
            surplus = self._count - gone - self._most + self._most // 10
            gone += self._database.execute(
                "DELETE FROM spans WHERE number IN (SELECT number FROM spans ORDER BY start LIMIT ?)", (surplus,)
            ).rowcount
        self._count -= gone

    def _spans(self, where: str, values: Iterable[object]) -> list[Span]:
        with self._lock:
            rows = self._database.execute(f"{_SELECT} {where}", tuple(values)).fetchall()
        return [
            Span(**{**dict(zip(_COLUMNS, row, strict=True)), "failed": bool(row[_COLUMNS.index("failed")])})
            for row in rows
        ]

    def _column(self, statement: str, values: Iterable[object] = ()) -> list[str]:
        with self._lock:
            return [row[0] for row in self._database.execute(statement, tuple(values))]

    def _one(self, statement: str) -> int:
        return int(self._database.execute(statement).fetchone()[0])
