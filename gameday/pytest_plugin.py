"""pytest plugin: tests of your own that start a compose file, break an edge of it and check what comes back.

    @pytest.mark.fault("kill", "recommendation-svc")
    def test_the_homepage_survives(system): ...

A test that passed while nothing met its fault has shown nothing: it fails.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gameday.bench import Bench

MARKER = "fault(fault, target, *, lease='120s', exercised=True, **arguments): a fault in force while the test runs"
_CALL_SECONDS = 180.0
# Proxies are asked four times a second what met the fault.
_MET_SECONDS = 2.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class SystemUnderTest:
    """A running system, every edge of it wired."""

    _bench: Bench

    def url(self, service: str) -> str:
        """`http://127.0.0.1:PORT` of the first port of `service`, past every proxy."""
        if service not in self._bench.catalogue.services:
            pytest.fail(f"there is no service {service!r}: {_nearest(service, self._bench.catalogue.services)}", False)
        return self._bench.url(service)

    @contextmanager
    def fault(
        self, fault: str, target: str, /, *, lease: str = "120s", exercised: bool = True, **arguments: Any
    ) -> Iterator[None]:
        """`fault` is in force on `target` within the block, and undone after it.

        The block fails where the fault is not seen in force, where its lease ends before the block, where it leaks and,
        unless `exercised` is False, where nothing met it. A request to the broken service itself, past every proxy, is
        not seen.
        """
        run = f"pytest-{uuid.uuid4().hex[:8]}"
        with self._failing():
            self._inject(run, fault, target, lease, arguments)
        met = True
        try:
            yield
            met = not exercised or self._met(run)
        finally:
            # A leak is told whatever became of the test.
            state = self._undo(run, f"{fault} {target}")
        if state == "expired":
            pytest.fail(f"{fault} {target} ended before the test did: give it a lease longer than {lease}", False)
        if not met:
            pytest.fail(f"nothing met {fault} {target}, so that the test has shown nothing: send what it breaks", False)

    def _inject(self, run: str, fault: str, target: str, lease: str, arguments: Mapping[str, Any]) -> None:
        from gameday.activities import put_in_force
        from gameday.durations import seconds
        from gameday.errors import GamedayError

        try:
            ttl = seconds(lease)
        except ValueError as error:
            raise GamedayError(f"lease: {error}; write it as 90s or 1m30s") from None
        put_in_force(self._bench.control, fault, target, arguments, ttl=ttl, run=run)

    def _undo(self, run: str, name: str) -> str:
        """What became of the lease of `run`: undone or expired."""
        with self._failing():
            (lease,) = self._bench.control.call("undo", run=run, timeout=_CALL_SECONDS)
        if lease["state"] == "leaked":
            pytest.fail(f"{name} leaked: {lease['error']}; mend: {lease['mend']}", False)
        return str(lease["state"])

    def _met(self, run: str) -> bool:
        """Whether the fault of `run` was met; what counts attempts is asked for a while."""
        deadline = time.monotonic() + _MET_SECONDS
        while not all(each["exercised"]["holds"] for each in self._bench.control.call("leases", run=run)):
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """What is wrong with the input, or with the system, is told without a traceback of gameday."""
        from gameday.errors import GamedayError, InputError

        try:
            yield
        except (GamedayError, InputError) as error:
            raise pytest.fail.Exception(_told(error), pytrace=False) from None


@dataclass(frozen=True)
class EdgeUnderTest:
    """One edge, `consumer->provider`."""

    name: str
    _system: SystemUnderTest

    @contextmanager
    def fault(self, fault: str, /, *, lease: str = "120s", exercised: bool = True, **arguments: Any) -> Iterator[None]:
        """As `SystemUnderTest.fault`, on this edge."""
        with self._system.fault(fault, self.name, lease=lease, exercised=exercised, **arguments):
            yield


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("gameday", "a system to break")
    group.addoption(
        "--gameday-file",
        action="append",
        default=[],
        metavar="FILE",
        help="compose file; may be repeated. Default: found",
    )
    group.addoption(
        "--gameday-time-scale", type=float, default=None, metavar="N", help="how much faster timers run. Default: 1"
    )
    group.addoption("--gameday-keep", action="store_true", help="leave running what the tests started")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)


def pytest_itemcollected(item: pytest.Item) -> None:
    if isinstance(item, pytest.Function) and _marked(item) and "system" not in item.fixturenames:
        item.fixturenames.insert(0, "system")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    faults = _marked(item)
    if not faults:
        return (yield)
    system: SystemUnderTest = item.funcargs["system"]  # type: ignore[attr-defined]
    with ExitStack() as stack:
        for mark in faults:
            if len(mark.args) != 2:  # noqa: PLR2004
                pytest.fail(
                    f"pytest.mark.fault has {len(mark.args)} arguments; write {MARKER.partition(':')[0]}", False
                )
            stack.enter_context(system.fault(*mark.args, **mark.kwargs))
        return (yield)


@pytest.fixture(scope="session")
def system(pytestconfig: pytest.Config) -> Iterator[SystemUnderTest]:
    """The system of the compose file, every edge wired: started, or joined where it runs already."""
    from gameday import lifecycle
    from gameday.bench import Bench
    from gameday.errors import GamedayError, InputError

    if hasattr(pytestconfig, "workerinput"):
        pytest.fail("what breaks one system cannot be tested by several processes: run pytest with -n 0", False)
    options = lifecycle.Options(
        files=tuple(map(Path, pytestconfig.getoption("gameday_file"))),
        wired=True,
        time_scale=pytestconfig.getoption("gameday_time_scale"),
    )
    try:
        running = lifecycle.up(options)
    except (GamedayError, InputError) as error:
        raise pytest.fail.Exception(_told(error), pytrace=False) from None
    state = running.control.state
    running.control.close()
    try:
        with closing(Bench.open(state)) as bench:
            yield SystemUnderTest(bench)
    finally:
        if not running.joined and not pytestconfig.getoption("gameday_keep"):
            lifecycle.down(state)


@pytest.fixture(scope="session")
def edge(system: SystemUnderTest) -> Callable[[str], EdgeUnderTest]:
    """`edge("consumer->provider")`, as `gameday edges` lists it."""

    def find(name: str) -> EdgeUnderTest:
        catalogue = system._bench.catalogue
        if not catalogue.find(name):
            pytest.fail(f"there is no edge {name!r}: {_nearest(name, [each.name for each in catalogue.edges])}", False)
        return EdgeUnderTest(name, system)

    return find


def _marked(item: pytest.Item) -> Sequence[pytest.Mark]:
    """The outermost first: of the class before of the function."""
    return tuple(reversed(list(item.iter_markers("fault"))))


def _told(error: Exception) -> str:
    from gameday.errors import InputError, render

    return "\n".join(map(render, error.problems)) if isinstance(error, InputError) else str(error)


def _nearest(name: str, known: Iterable[str]) -> str:
    from gameday.faults.arguments import nearest

    return nearest(name, known)
