"""A line is written under the fault and not without it; and how the log of a service is read."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any

import histories as h
import pytest

from gameday import logs
from gameday.checks import logs as check
from gameday.checks.view import Span, View
from gameday.durations import TimeScale
from gameday.expectations import Log
from gameday.verdict import Verdict

LOG = Log.model_validate(
    {"service": "api-gateway", "event": "fallback_served", "json": {"edge": h.EDGE, "reason": {"enum": ["open"]}}}
)
CONFIRMED, REFUTED, INCONCLUSIVE = Verdict.CONFIRMED, Verdict.REFUTED, Verdict.INCONCLUSIVE


def line(wall: float, **changes: Any) -> h.Entry:
    told = {"event": "fallback_served", "edge": h.EDGE, "reason": "open", "timestamp": wall}
    return "line", {"service": changes.pop("service", "api-gateway"), "line": told | changes}


def read(since: float = h.CONTROL, error: str | None = None) -> h.Entry:
    return "log", {"service": "api-gateway", "since": since, "error": error}


@pytest.mark.parametrize(
    ("more", "verdict", "words"),
    [
        ([read(), line(h.IN_FORCE + 2), line(h.IN_FORCE + 1)], CONFIRMED, "2 lines, the first 1s after the fault"),
        ([read(h.CONTROL - 5), line(h.CONTROL - 1), line(h.IN_FORCE + 1)], CONFIRMED, "1 line,"),
        ([read()], REFUTED, "no such line"),
        ([read(), line(h.INJECT + 0.5), line(h.RELEASE + 0.5)], REFUTED, "no such line"),
        ([read(), line(h.IN_FORCE + 1, service="chat-svc")], REFUTED, "no such line"),
        ([read(), line(h.IN_FORCE + 1, event="request")], REFUTED, "no such line"),
        ([read(), line(h.IN_FORCE + 1, edge="another")], REFUTED, "no such line"),
        ([read(), line(h.IN_FORCE + 1, reason="timeout")], REFUTED, "no such line"),
        ([read(), line(h.CONTROL + 1), line(h.IN_FORCE + 1)], INCONCLUSIVE, "without a fault: api-gateway wrote"),
        ([read(), line(h.IN_FORCE + 1, timestamp="soon")], INCONCLUSIVE, "tells no time"),
        ([line(h.IN_FORCE + 1)], INCONCLUSIVE, "nobody read them"),
        ([read(h.CONTROL + 1), line(h.IN_FORCE + 1)], INCONCLUSIVE, "nobody read them"),
        ([read(error="no such file"), line(h.IN_FORCE + 1)], INCONCLUSIVE, "no such file"),
    ],
)  # fmt: skip
def test_logs(more: list[h.Entry], verdict: Verdict, words: str) -> None:
    finding = check.check(h.history([*h.good(), *more]), LOG, TimeScale(30))
    said = f"{finding.observed} / {finding.detail}"
    assert (finding.verdict, words in said) == (verdict, True), said


@pytest.mark.parametrize("window", ["control", "fault"])
def test_a_run_without_a_window_says_nothing(window: str) -> None:
    entries = h.without("window", lambda data: data["window"] == window)([*h.good(), read(), line(h.IN_FORCE + 1)])
    assert check.check(h.history(entries), LOG, TimeScale(30)).verdict is INCONCLUSIVE


def test_the_fault_goes_on_until_the_line_was_written_and_one_before_is_unrest() -> None:
    before, after = (View(h.history([*h.good(), line(wall)])) for wall in (h.CONTROL + 1, h.IN_FORCE + 1))
    assert not check.spoken(before, LOG, "fault")
    assert check.spoken(after, LOG, "fault")
    assert "wrote 1 line fallback_served with" in check.unrest(before, LOG, Span(h.CONTROL))
    assert not check.unrest(before, LOG, Span(h.CONTROL + 2))


@pytest.mark.parametrize(
    ("told", "wall"),
    [
        ({"timestamp": "2026-01-01T00:00:01Z"}, 1767225601.0),
        ({"time": "2026-01-01T01:00:01.5+01:00"}, 1767225601.5),
        ({"@timestamp": "2026-01-01T00:00:01"}, 1767225601.0),
        ({"ts": 1767225601.25}, 1767225601.25),
        ({"time": 1767225601250}, 1767225601.25),
        ({"time": "soon"}, None),
        ({"time": True}, None),
        ({"time": ["now"]}, None),
        ({}, None),
    ],
)
def test_the_time_of_a_line(told: dict[str, Any], wall: float | None) -> None:
    assert logs.wall(told) == wall


def test_what_happened_is_told_under_several_names() -> None:
    assert [logs.event({key: "x"}) for key in ("event", "message", "msg", "other")] == ["x", "x", "x", None]
    assert logs.parse('{"event": "x"}') == {"event": "x"}
    assert (logs.parse("no json"), logs.parse("[1]"), logs.parse(b'{"cut')) == (None, None, None)


@pytest.mark.parametrize("length", [10, 1_000, 10_000])
def test_a_log_is_read_from_a_moment_on(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_BLOCK", 4_000)
    told = [json.dumps({"ts": float(second), "text": "x" * length}) for second in range(100, 400)]
    file = io.BytesIO("".join(f"{text}\n" for text in told).encode())
    logs.seek(file, 390.0)
    first = next(logs.whole_lines(file))
    assert json.loads(first)["ts"] <= 390.0, "what was written then is not to be missed"
    assert length == 10_000 or json.loads(first)["ts"] > 200, "what is older need not be read"


def test_a_log_that_tells_no_time_is_read_whole_and_a_torn_line_later() -> None:
    file = io.BytesIO(b"one\ntwo\nthr")
    logs.seek(file, datetime.now(UTC).timestamp())
    assert list(logs.whole_lines(file)) == ["one", "two"]
    file.seek(0, io.SEEK_END)
    file.write(b"ee\n")
    file.seek(8)
    assert list(logs.whole_lines(file)) == ["three"]
