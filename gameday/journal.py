"""The history of a run: append-only JSON lines with one writer.

Every record carries wall time (epoch seconds) and monotonic time (seconds since
boot), so that an interval survives a clock that is set.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any


@dataclass(frozen=True)
class Record:
    seq: int
    wall: float
    mono: float
    kind: str
    data: dict[str, Any]


@dataclass(frozen=True)
class History:
    """`torn` says that the last line was cut, as a crash leaves it."""

    records: tuple[Record, ...]
    torn: bool = False

    def of(self, kind: str) -> Sequence[Record]:
        return self._by_kind.get(kind, ())

    @cached_property
    def _by_kind(self) -> Mapping[str, Sequence[Record]]:
        # A running experiment asks for a few kinds of thousands of records, several times a second.
        found: dict[str, list[Record]] = {}
        for record in self.records:
            found.setdefault(record.kind, []).append(record)
        return found


class Journal:
    """Appends records. `sync=True` reaches the disk before the call returns."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        history = read(path)
        if history.torn:
            _cut_torn_tail(path)
        self.path = path
        self._seq = len(history.records)
        self._file: IO[bytes] = path.open("ab", buffering=0)

    def append(self, kind: str, *, sync: bool = False, **data: Any) -> Record:
        record = Record(self._seq, time.time(), time.monotonic(), kind, data)
        self._file.write(_encode(record))
        if sync:
            os.fsync(self._file.fileno())
        self._seq += 1
        return record

    def close(self) -> None:
        self._file.close()


def read(path: Path) -> History:
    """The whole history; a missing file is an empty one.

    Raises ValueError where a line other than the last cannot be read: a history
    that was damaged in the middle is not to be judged.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return History(())
    *lines, tail = content.split(b"\n")
    return History(tuple(_decode(path, number, line) for number, line in enumerate(lines, 1)), torn=bool(tail))


def _encode(record: Record) -> bytes:
    head = {"seq": record.seq, "wall": record.wall, "mono": record.mono, "kind": record.kind}
    return json.dumps(head | {"data": record.data}, separators=(",", ":"), default=str).encode() + b"\n"


def _decode(path: Path, number: int, line: bytes) -> Record:
    try:
        raw = json.loads(line)
        return Record(raw["seq"], raw["wall"], raw["mono"], raw["kind"], raw["data"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}:{number}: not a record of a history: {error}") from error


def _cut_torn_tail(path: Path) -> None:
    content = path.read_bytes()
    with path.open("r+b") as file:
        file.truncate(content.rfind(b"\n") + 1)
