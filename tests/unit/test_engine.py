"""The windows of a run, on a system made of stubs: what begins, what ends them, and that the undo always comes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import histories as h
import pytest

from gameday import engine
from gameday.checks import bounded, loss, retries
from gameday.checks.view import View
from gameday.collector import Collector
from gameday.dashboards.shown import Shown
from gameday.durations import TimeScale
from gameday.errors import GamedayError
from gameday.expectations import Expect, Loss
from gameday.journal import Journal, read
from gameday.progress import Progress
from gameday.state import State
from gameday.tools.prometheus import Sample
from gameday.verdict import Verdict

RATE = 400.0
# Seconds that a request takes.
ANSWERED = 0.02
SCRAPE = 0.1
SCALE = TimeScale(30)


class World:
    """A system with one service, a breaker and users; the stubs all look at it."""

    def __init__(self) -> None:
        self.began = time.time()
        self.told = self.scraped = self.began
        self.stored: list[Sample] = []
        self.broken = False
        self.lease: dict[str, Any] | None = None
        self.undone: list[str] = []
        self.odd_until = 0.0
        self.fails: Exception | None = None
        self.blind = False
        self.written: list[str] = []
        self.asked: list[float] = []
        self.over_the_edge = 0
        self.hung = self.hung_until = 0.0

    @property
    def fallback(self) -> bool:
        return self.broken or time.time() < self.odd_until

    # The load child.
    alive = True

    def events(self) -> Iterator[dict[str, Any]]:
        if self.fails and self.broken:
            raise self.fails
        # Told once it is answered: by then it is known what else is open.
        while self.told + 1 / RATE + ANSWERED < time.time():
            self.told += 1 / RATE
            source = "fallback" if self.fallback else "model"
            content = {"recommendations.source": source, "recommendations.items": [1]}
            self.written.append(f"w{len(self.written)}")
            told = {"json": content, "headers": {"x-correlation-id": self.written[-1]}}
            self.over_the_edge += 2 if self.broken else 1
            oldest = self.hung if self.told < self.hung_until else None
            yield {"kind": "request", **h.request(self.told, **told)[1], "oldest_wall": oldest}

    def kill(self) -> None: ...

    # Another service.
    def entries(self, service: str, path: str) -> list[Any]:
        assert (service, path) == ("mail-sink", "/received")
        self.asked.append(time.time())
        if len(self.asked) == 1:
            raise GamedayError("it is just starting")
        return [{"mail": {"id": name}} for name in self.written] + [{"mail": {"id": ["no", "name"]}}, "no mail"]

    # Prometheus.
    def raw(self, _selector: str, seconds: float) -> list[Sample]:
        if self.blind:
            raise GamedayError("Prometheus does not answer")
        labels = {"edge": h.EDGE, "job": "api-gateway"}
        while self.scraped < time.time():
            self.scraped += SCRAPE
            self.stored += [
                Sample("circuit_breaker_state", labels, self.scraped, 2.0 if self.fallback else 0.0),
                Sample("up", {"job": "api-gateway"}, self.scraped, 1.0),
            ]
        return [sample for sample in self.stored if sample.wall >= time.time() - seconds]

    # The supervisor.
    def call(self, op: str, **given: Any) -> Any:
        if op == "wires":
            assert given == {"edge": h.EDGE}
            return [{"counters": {"requests": count}} for count in (100, self.over_the_edge)]
        assert op == "leases"
        return [self.lease] if self.lease else []

    def inject(self) -> None:
        self.broken = True
        self.lease = h.lease(
            state="in-force", in_force_wall=time.time(), undone_wall=None, undone={"holds": False, "facts": {}}
        )

    def undo(self, run: str = "") -> list[Any]:
        self.undone.append(run)
        if self.lease and self.broken:
            self.broken = False
            self.lease = {**self.lease, "state": "undone", "undone_wall": time.time(), "undone": {"holds": True}}
        return []


class Toolkit:
    """The chaos child: injects when told, undoes once `release` is there."""

    def __init__(self, world: World, directory: Path) -> None:
        self.world, self.directory, self.gone, self.killed = world, directory, False, False

    def go(self) -> None:
        self.gone = True
        self.world.inject()

    @property
    def alive(self) -> bool:
        if self.gone and (self.directory / "release").exists():
            self.world.undo("toolkit")
            return False
        return True

    def record(self) -> dict[str, Any]:
        return h.toolkit()[1]

    def kill(self) -> None:
        self.killed = True


@pytest.fixture
def world() -> World:
    return World()


EXPECT = {"users": [{**h.EXPECT["users"][0], "bad": "<= 1 of 40"}], "breaker": h.EXPECT["breaker"]}


def made(world: World, directory: Path, before: Collector | None = None, expect: Any = None, moved: Any = ()) -> Any:
    """The windows of a run whose history stands in `directory`."""
    bench = SimpleNamespace(
        control=world,
        prometheus=world,
        state=State(directory / "state"),
        undo=world.undo,
        scale=TimeScale(30),
        entries=world.entries,
        jaeger=None,
        status={"services": []},
    )
    experiment = SimpleNamespace(
        name="x",
        extension=SimpleNamespace(expect=Expect.model_validate(expect or EXPECT)),
        load=SimpleNamespace(
            profile=SimpleNamespace(users=[SimpleNamespace(rate=RATE)], timeout=0.2, routes={h.ROUTE: None})
        ),
    )
    directory.mkdir(exist_ok=True)
    journal = Journal(directory / "journal.jsonl")
    collector = Collector(journal, bench, "r", world, before)  # type: ignore[arg-type]
    collector.write("run", **{**h.good()[0][1], "expect": expect or EXPECT, "scrape_interval": 0.3, "slack": {}})
    toolkit = Toolkit(world, directory)
    turn = engine._Turn("r", directory, toolkit)  # type: ignore[arg-type]
    made = engine._Windows(bench, experiment, turn, collector, Progress(), moved=moved)  # type: ignore[arg-type]
    recovering: list[bool] = []
    return SimpleNamespace(
        run=lambda: made.run(lambda: recovering.append(world.broken)),
        recovering=recovering,
        collector=collector,
        toolkit=toolkit,
        directory=directory,
        made=made,
        journal=journal,
    )


@pytest.fixture
def windows(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr("gameday.collector._QUERY_EVERY", 0.1)
    monkeypatch.setattr(engine, "READING", 0.3)
    found = made(world, tmp_path / "first")
    yield found
    found.journal.close()


def edges(directory: Path) -> list[tuple[str, str]]:
    history = read(directory / "journal.jsonl")
    return [(record.data["window"], record.data["edge"]) for record in history.of("window")]


WHOLE = [(name, edge) for name in ("control", "fault", "recovery") for edge in ("start", "end")]


def test_from_the_undo_on_it_is_looked_for_what_was_acknowledged(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gameday.collector._QUERY_EVERY", 0.1)
    monkeypatch.setattr("gameday.collector._LOOK_EVERY", 0.1)
    monkeypatch.setattr(engine, "READING", 0.3)
    where = {"route": h.ROUTE, "service": "mail-sink", "path": "/received", "found": "mail.id", "within": "<= 5s"}
    found = made(world, tmp_path / "first", expect={**EXPECT, "loss": [where]})
    found.run()
    found.journal.close()
    history = read(found.directory / "journal.jsonl")
    view = View(history)
    assert view.undone
    assert min(world.asked) >= view.undone
    looks = view.looks(h.ROUTE, "mail-sink", "/received")
    assert looks[0].error == "it is just starting"
    assert looks[-1].counts
    finding = loss.check(history, Loss.model_validate(where), TimeScale(30))
    assert finding.verdict is Verdict.CONFIRMED, finding
    # What was written after the undo is not looked for.
    assert finding.n == len(looks[-1].counts) < len(world.written)


def test_what_goes_over_an_edge_is_counted_in_each_window(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gameday.collector._WIRES_EVERY", 0.05)
    monkeypatch.setattr(engine, "READING", 0.3)
    expect = {"retries": [{"edge": h.EDGE, "route": h.ROUTE, "amplification": "<= 1.5"}]}
    found = made(world, tmp_path / "first", expect=expect)
    found.run()
    found.journal.close()
    finding = retries.check(read(found.directory / "journal.jsonl"), Expect.model_validate(expect).retries[0], SCALE)
    assert finding.verdict is Verdict.REFUTED, finding
    assert float(finding.detail.split()[3].rstrip(",")) == pytest.approx(2, abs=0.3)


@pytest.mark.parametrize(("hangs", "verdict"), [(0.1, Verdict.CONFIRMED), (60.0, Verdict.REFUTED)])
def test_the_recovery_ends_when_all_that_was_asked_has_ended_or_is_given_up(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hangs: float, verdict: Verdict
) -> None:
    monkeypatch.setattr(engine, "READING", 0.3)
    expect = {"bounded": [{"route": h.ROUTE, "within": "<= 200ms"}]}
    found = made(world, tmp_path / "first", expect=expect)

    def hanging(*window: Any, original: Any = found.made._window) -> None:
        """What was asked last in the recovery."""
        if window[:2] == ("recovery", "end"):
            world.hung, world.hung_until = time.time(), time.time() + hangs
        original(*window)

    found.made._window = hanging
    found.run()
    found.journal.close()
    finding = bounded.check(read(found.directory / "journal.jsonl"), Expect.model_validate(expect).bounded[0], SCALE)
    assert finding.verdict is verdict, finding


def test_the_windows_of_who_moves_a_panel_last_as_long_as_its_query_needs(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gameday.collector._QUERY_EVERY", 0.1)
    monkeypatch.setattr(engine, "READING", 0.3)
    found = made(world, tmp_path / "first", moved=[Shown("board", "panel", "rate(a[$__rate_interval])", "")])
    found.run()
    found.journal.close()
    view = View(read(found.directory / "journal.jsonl"))
    control, fault = view.window("control"), view.fault
    assert control and control.end - control.start >= (4 + 3) * 0.3  # of which four scrapes are looked back over
    assert fault and fault.end - fault.start >= 4 * 0.3


def test_three_windows_each_ended_as_soon_as_everybody_spoke(windows: Any, world: World) -> None:
    windows.run()
    assert edges(windows.directory) == WHOLE
    view = windows.collector.view
    control, fault, recovery = (view.window(name) for name in ("control", "fault", "recovery"))
    assert control.end - control.start >= 0.9, "a control window of fewer than three scrapes proves nothing"
    assert fault.end - fault.start < 2
    assert recovery.end - recovery.start < 2
    assert len(view.requests(h.ROUTE, view.fault)) >= 40
    assert view.leases[0]["state"] == "undone"
    assert windows.toolkit.killed
    assert windows.recovering == [False], "the next one may get ready once, after the undo"


def test_the_end_of_a_recovery_is_the_next_control_window(windows: Any, world: World, tmp_path: Path) -> None:
    windows.run()
    undone = windows.collector.view.undone
    time.sleep(1)  # what was asked meanwhile counts too
    following = made(world, tmp_path / "second", windows.collector)
    began = time.time()
    following.run()
    view = following.collector.view
    control = view.window("control")
    assert undone < control.start < began, "it began before the run did"
    assert control.end - began < 0.9, "it need not be waited for"
    assert edges(following.directory) == WHOLE
    assert len(view.requests(h.ROUTE, control)) >= 40
    assert view.leases[0]["state"] == "undone"
    following.journal.close()


def test_a_recovery_that_did_not_come_to_rest_is_no_control_window(windows: Any, world: World, tmp_path: Path) -> None:
    windows.run()
    world.odd_until = time.time() + 0.6
    following = made(world, tmp_path / "second", windows.collector)
    time.sleep(0.2)
    following.run()
    control = following.collector.view.window("control")
    assert control.start > world.odd_until
    assert control.end - control.start >= 0.9
    following.journal.close()


def test_the_control_window_begins_anew_where_something_is_not_at_rest(windows: Any, world: World) -> None:
    def odd_once(*_: Any, original: Any = windows.made._window) -> None:
        original(*_)
        if _[:2] == ("control", "start") and not world.odd_until:
            world.odd_until = time.time() + 0.3

    windows.made._window = odd_once
    windows.run()
    assert edges(windows.directory) == [("control", "start"), ("control", "end"), *WHOLE]
    control = windows.collector.view.window("control")
    assert control.start > world.odd_until


def test_a_system_that_is_never_at_rest_is_given_up_without_a_fault(
    windows: Any, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.odd_until = time.time() + 60
    monkeypatch.setattr(windows.made, "_enough", lambda: 0.5)
    with pytest.raises(GamedayError, match="not at rest"):
        windows.run()
    assert not windows.toolkit.gone
    assert not world.broken


@pytest.mark.parametrize("error", [GamedayError("the load generator ended"), KeyboardInterrupt(), MemoryError()])
def test_whatever_happens_in_the_fault_window_is_undone_and_the_history_ends(
    windows: Any, world: World, error: BaseException
) -> None:
    world.fails = error  # type: ignore[assignment]
    expected: tuple[type[BaseException], ...] = () if isinstance(error, GamedayError) else (type(error),)

    def recorded() -> None:
        with engine.recorded(windows.collector):
            windows.run()

    if expected:
        with pytest.raises(expected):
            recorded()
    else:
        recorded()
    assert not world.broken
    assert world.undone == ["r"]
    assert windows.toolkit.killed
    history = read(windows.directory / "journal.jsonl")
    assert history.records[-1].kind == "end"
    assert [record.data["where"] for record in history.of("error")] == ["engine"]


def test_a_prometheus_that_is_gone_is_one_error_and_no_endless_wait(
    windows: Any, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows.toolkit, "go", lambda: (setattr(world, "blind", True), Toolkit.go(windows.toolkit)))
    windows.run()
    assert edges(windows.directory) == WHOLE
    errors = list(read(windows.directory / "journal.jsonl").of("error"))
    assert [record.data["where"] for record in errors] == ["prometheus"]


def test_a_toolkit_that_ends_early_ends_the_fault_window(
    windows: Any, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stillborn() -> None:
        windows.toolkit.gone = True
        (windows.directory / "release").touch()

    monkeypatch.setattr(windows.toolkit, "go", stillborn)
    began = time.monotonic()
    windows.run()
    assert time.monotonic() - began < 10
    assert edges(windows.directory) == WHOLE[:4]
    assert windows.collector.view.leases == ()


def test_a_toolkit_whose_hold_is_over_ends_the_fault_window_too(
    windows: Any, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoke = windows.made._all_spoke
    monkeypatch.setattr(windows.made, "_all_spoke", lambda window: window != "fault" and spoke(window))
    monkeypatch.setattr(windows.made, "_enough", lambda: 60.0)
    go = windows.toolkit.go
    over = threading.Timer(1.0, (windows.directory / "release").touch)
    monkeypatch.setattr(windows.toolkit, "go", lambda: (go(), over.start()))
    windows.run()
    assert edges(windows.directory) == WHOLE
    fault = windows.collector.view.window("fault")
    assert fault.end - fault.start < 10
