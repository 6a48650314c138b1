"""What is gathered of spans and log lines while a run goes on, and the one request that is kept whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import histories as h
import pytest

from gameday import tracks
from gameday.checks import logs, traces
from gameday.checks.view import View
from gameday.durations import TimeScale
from gameday.errors import GamedayError
from gameday.expectations import Expect
from gameday.state import State
from gameday.tools.jaeger import Span
from gameday.verdict import Verdict

EXPECT = Expect.model_validate(
    {
        "traces": [{"name": "POST /recommend", "status": "error", "from": "api-gateway"}],
        "logs": [{"service": "api-gateway", "event": "fallback_served", "json": {"edge": h.EDGE}}],
    }
)


class Store:
    """Jaeger: the spans it has, or none that answers."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.kept: list[Span] = []
        self.gone, self.lag, self.now = False, 0.0, now

    def add(self, trace: str, name: str, start: float, error: str | None = None, service: str = "api-gateway") -> None:
        self.kept.append(Span(trace, f"{trace}-{name}", "", service, name, start, start + 0.1, error, {"user.id": "u"}))

    def spans(
        self, service: str, since: float, until: float, *, name: str = "", failed: bool | None = None, limit: int = 20
    ) -> Sequence[Span]:
        if self.gone:
            raise GamedayError("cannot ask for traces: refused")
        arrived = [each for each in self.kept if each.service == service and each.start + self.lag <= self.now()]
        found = [each for each in arrived if since <= each.start <= until and name in ("", each.name)]
        return [each for each in found if failed in (None, each.error is not None)][:limit]

    def trace(self, identifier: str) -> Sequence[Span]:
        return [each for each in self.kept if each.trace == identifier]


class World:
    """A run that is told step by step, and what Tracks writes of it."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entries, self.now, self.expect = h.good()[:1], h.CONTROL, EXPECT
        self.store = Store(lambda: self.now)
        monkeypatch.setattr(tracks, "time", SimpleNamespace(time=lambda: self.now, monotonic=lambda: self.now))
        self.state = State(directory)
        self.state.logs.mkdir(parents=True)
        writers = [("api-gateway", "api-gateway-1"), ("api-gateway", "api-gateway-2"), ("chat-svc", "chat-svc")]
        bench = SimpleNamespace(
            jaeger=self.store,
            state=self.state,
            status={"services": [{"service": service, "name": name} for service, name in writers]},
            catalogue=SimpleNamespace(entry="api-gateway"),
        )
        for _, name in writers:
            self.log(name, "started", wall=h.CONTROL - 100)
        self.tracks = tracks.Tracks(bench, h.CONTROL, self.write, self.view)  # type: ignore[arg-type]

    def view(self) -> View:
        return View(h.history(self.entries))

    def write(self, kind: str, **data: Any) -> None:
        self.entries.append((kind, json.loads(json.dumps(data))))

    def log(self, writer: str, event: str, wall: float | None = None, **fields: Any) -> None:
        line = {"event": event, "timestamp": wall or self.now, **fields}
        with (self.state.logs / f"{writer}.log").open("a") as log:
            log.write(json.dumps(line) + "\n")

    def window(self, name: str, edge: str) -> None:
        self.write("window", window=name, edge=edge, wall=self.now)

    def lease(self, **changes: Any) -> None:
        self.write("lease", phase="in-force", lease=h.lease(**changes))

    def play(self, *, fails: bool = True, ends: bool = True, injecting: float = 0.0) -> None:
        """A whole run; with `fails` a request meets the fault, with `ends` it is finished.

        All that comes after the injection is as much later as that takes longer (`injecting`, seconds).
        """
        in_force, undone = h.IN_FORCE + injecting, h.UNDONE + injecting
        self.tracks.expect(self.expect)
        self.store.add("good", "POST /recommend", h.CONTROL + 1)
        self.window("control", "start")
        self.tracks.poll()
        self.now = h.INJECT
        self.window("control", "end")
        self.window("fault", "start")
        self.now = h.INJECT + injecting
        self.tracks.poll()
        self.now = in_force
        self.lease(in_force_wall=in_force, undone_wall=None, state="in-force")
        if fails:
            self.store.add("bad", "POST /recommend", in_force + 1, "connection refused")
            self.log("api-gateway-2", "fallback_served", in_force + 1, edge=h.EDGE, trace_id="bad", token="secret")
            self.log("chat-svc", "request", in_force + 1.01, trace_id="bad")
        self.now = in_force + 2
        self.tracks.poll()
        self.now = h.RELEASE + injecting
        self.window("fault", "end")
        self.now = undone
        self.window("recovery", "start")
        self.lease(in_force_wall=in_force, undone_wall=undone)
        while self.now < h.END + injecting:
            self.tracks.poll()
            self.now += 1
        self.window("recovery", "end")
        if ends:
            self.tracks.finish()

    def verdicts(self) -> tuple[Verdict, Verdict]:
        history = h.history(self.entries)
        spans = traces.check(history, self.expect.traces[0], TimeScale(30))
        lines = logs.check(history, EXPECT.logs[0], TimeScale(30))
        return spans.verdict, lines.verdict

    def last(self, kind: str) -> dict[str, Any]:
        return [data for each, data in self.entries if each == kind][-1]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def test_a_request_that_met_the_fault_is_found_and_kept_with_its_lines(world: World) -> None:
    world.play()
    assert world.verdicts() == (Verdict.CONFIRMED, Verdict.CONFIRMED)
    kept = world.last("trace")
    assert (kept["trace"], [span["error"] for span in kept["spans"]]) == ("bad", ["connection refused"])
    assert [each["service"] for each in kept["lines"]] == ["api-gateway", "chat-svc"]
    assert "secret" not in json.dumps(world.entries)
    assert "attributes" not in kept["spans"][0]


@pytest.mark.parametrize(("other", "verdict"), [("user-svc", Verdict.CONFIRMED), ("chat-svc", Verdict.REFUTED)])
def test_a_trace_is_asked_for_whole_where_it_is_to_go_through_a_service(
    world: World, other: str, verdict: Verdict
) -> None:
    whole = EXPECT.traces[0].model_copy(update={"through": ("user-svc",)})
    world.expect = EXPECT.model_copy(update={"traces": (whole,)})
    world.store.add("bad", "GET /users", h.IN_FORCE + 1.02, service=other)
    world.play()
    assert world.verdicts()[0] is verdict


def test_a_fault_that_takes_long_to_inject_hides_nothing_of_the_control_window(world: World) -> None:
    world.play(injecting=2 * traces.LATE)
    assert world.verdicts()[0] is Verdict.CONFIRMED


def test_where_nothing_fails_and_nothing_is_written_both_are_refuted(world: World) -> None:
    world.play(fails=False)
    assert world.verdicts() == (Verdict.REFUTED, Verdict.REFUTED)
    assert not any(kind == "trace" for kind, _ in world.entries)


def test_what_came_before_the_fault_makes_both_inconclusive(world: World) -> None:
    world.store.add("early", "POST /recommend", h.CONTROL + 2, "it fails anyhow")
    world.log("api-gateway-1", "fallback_served", h.CONTROL + 2, edge=h.EDGE)
    world.play()
    assert world.verdicts() == (Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE)


def test_what_was_written_before_this_run_is_not_of_it(world: World) -> None:
    world.log("api-gateway-1", "fallback_served", h.CONTROL - 0.5, edge=h.EDGE)
    world.play()
    assert world.verdicts()[1] is Verdict.CONFIRMED


def test_what_a_service_writes_late_counts_for_when_it_happened(world: World) -> None:
    world.play(ends=False)
    world.log("api-gateway-1", "fallback_served", h.CONTROL + 2, edge=h.EDGE)
    world.tracks.finish()
    assert world.verdicts()[1] is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("began", "verdict"), [(h.IN_FORCE + 9, Verdict.CONFIRMED), (h.INJECT - 1, Verdict.INCONCLUSIVE)]
)
def test_a_span_that_arrives_after_its_window_counts(world: World, began: float, verdict: Verdict) -> None:
    world.store.lag = 5.0
    world.store.add("late", "POST /recommend", began, "connection refused")
    world.play(fails=False)
    assert world.verdicts()[0] is verdict


def test_a_store_that_is_gone_is_inconclusive(world: World) -> None:
    world.store.gone = True
    world.play()
    assert world.verdicts() == (Verdict.INCONCLUSIVE, Verdict.CONFIRMED)
    assert "refused" in world.last("spans")["error"]


def test_a_log_that_cannot_be_read_is_inconclusive(world: World) -> None:
    (world.state.logs / "api-gateway-1.log").unlink()
    world.play()
    assert world.verdicts() == (Verdict.CONFIRMED, Verdict.INCONCLUSIVE)


def test_without_an_expectation_a_failed_request_of_the_entry_is_kept(world: World) -> None:
    world.tracks.expect = lambda _: None  # type: ignore[method-assign]
    world.play()
    assert world.last("trace")["trace"] == "bad"
