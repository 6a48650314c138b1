"""The log of a service: whole lines, from a moment on, and what a structured one says."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, BinaryIO

# Under which names structured logs tell the time and what happened: structlog, zap, pino, logrus, Logstash.
_TIMES = ("timestamp", "time", "ts", "@timestamp")
_EVENTS = ("event", "message", "msg")
_BLOCK = 1 << 16
# Threads and processes write a line some time after they stamped it. Seconds.
_DISORDER = 1.0
_LATEST_SECOND = 1e11


def whole_lines(file: BinaryIO) -> Iterator[str]:
    """Up to the end of `file`; the rest of a line that is being written comes with the next reading."""
    for line in file:
        if not line.endswith(b"\n"):
            file.seek(-len(line), os.SEEK_CUR)
            return
        yield line.decode(errors="replace").rstrip("\n")


def seek(file: BinaryIO, since: float) -> None:
    """Puts `file` before the first line of `since` (epoch seconds) or later, perhaps some lines too early."""
    at = file.seek(0, os.SEEK_END)
    while at:
        at = max(0, at - _BLOCK)
        file.seek(at)
        lines = file.read(_BLOCK).split(b"\n")[bool(at) : -1]
        told = (wall(line) for text in lines if (line := parse(text)) is not None)
        first = next((each for each in told if each is not None), None)
        if first is not None and first < since - _DISORDER:
            break
    file.seek(at)
    if at:
        file.readline()


def parse(text: str | bytes) -> dict[str, Any] | None:
    """The fields of a structured line; None where it is another."""
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) else None


def event(line: Mapping[str, Any]) -> str | None:
    """What happened, in the words of its program."""
    return next((line[key] for key in _EVENTS if isinstance(line.get(key), str)), None)


def wall(line: Mapping[str, Any]) -> float | None:
    """Epoch seconds; None where it tells no time. Without a zone it is UTC; a large number is milliseconds."""
    told = next((line[key] for key in _TIMES if key in line), None)
    if isinstance(told, int | float) and not isinstance(told, bool):
        return told / 1000 if told > _LATEST_SECOND else float(told)
    try:
        at = datetime.fromisoformat(told)  # type: ignore[arg-type]  # what is no text raises, too
    except (TypeError, ValueError):
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
