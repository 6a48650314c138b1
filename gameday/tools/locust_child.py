"""Inside the load child. Importing Locust patches the standard library: nothing else may import this."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
from geventhttpclient import client as http
from geventhttpclient.client import HTTPClientPool
from locust import FastHttpUser, events
from locust.env import Environment
from locust.exception import StopUser
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING

from gameday import sse
from gameday.tools.locust import STOP, Crowd, Plan, dig

# The first arrival waits until all users stand ready.
_HEAD_START = 0.3
# A request that runs into its timeout must still be told of it.
_GRACE = 1.0


class Schedule:
    """Arrivals at a constant rate, handed out one after another. Monotonic times."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._numbers = itertools.count()
        self._start = 0.0
        self.unanswered: set[float] = set()

    def begin(self, at: float) -> None:
        self._start = at

    def next(self) -> float:
        return self._start + next(self._numbers) / self._rate


class Arriving:
    """Mixed into a user class: each task is one arrival of the schedule."""

    schedule: Schedule
    _state: str | None

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)  # type: ignore[call-arg]
        self._intended = 0.0
        self._due = 0.0

    def on_start(self) -> None:
        super().on_start()  # type: ignore[misc]
        self._state = LOCUST_STATE_WAITING  # so that the end of the load need not wait for the first arrival
        gevent.sleep(self.wait_time())
        if self._state == LOCUST_STATE_STOPPING:
            raise StopUser
        self._state = LOCUST_STATE_RUNNING

    def wait_time(self) -> float:
        """Seconds until the next arrival. One in the past is late because the system is slow."""
        now = time.monotonic()
        self._intended = self.schedule.next()
        self._due = max(self._intended, now)
        return max(0.0, self._intended - now)

    def context(self) -> dict[str, Any]:
        """Goes with the next request. A task's later requests are meant to start when the task gets there."""
        now = time.monotonic()
        intended, due = (self._intended, self._due) if self._intended else (now, now)
        self._intended = self._due = 0.0
        self.schedule.unanswered.add(intended)
        return {"intended": intended, "started": now, "lag": now - due, "schedule": self.schedule}


class Recorder:
    """Writes one JSON line an event to the descriptor that was stdout."""

    def __init__(self, plan: Plan) -> None:
        self._paths = plan.paths
        self._headers = plan.headers
        self._out = os.fdopen(os.dup(1), "w", buffering=1)
        os.dup2(2, 1)  # a user's print must not break the lines
        # Wall time of monotonic zero, taken once: intervals survive a clock that is set.
        self._epoch = time.time() - time.monotonic()

    def write(self, kind: str, **data: Any) -> None:
        self._out.write(json.dumps({"kind": kind, **data}) + "\n")

    def request(
        self,
        *,
        request_type: str,
        name: str,
        response_time: float,
        response: Any,
        exception: BaseException | None,
        context: dict[str, Any],
        **_: Any,
    ) -> None:
        route = f"{request_type} {name}"
        now = time.monotonic()
        started = context.get("started", now - response_time / 1000)
        intended = context.get("intended", started)
        unanswered = context["schedule"].unanswered if "schedule" in context else set()
        unanswered.discard(intended)
        self.write(
            "request",
            route=route,
            status=getattr(response, "status_code", 0) or None,
            ms=round((started - intended) * 1000 + response_time, 3),
            lag_ms=round(context.get("lag", 0.0) * 1000, 3),
            intended_wall=self._epoch + intended,
            started_wall=self._epoch + started,
            # The oldest request of these users that has no answer yet.
            oldest_wall=self._epoch + min(unanswered) if unanswered else None,
            json=self._json(route, response),
            headers=self._named(route, response),
            # A status is no failure here: the checkers judge it.
            error=None if getattr(response, "status_code", 0) else repr(exception),
        )

    def user_error(self, exception: BaseException, **_: Any) -> None:
        self.write("error", where="load", message=f"a user raised {type(exception).__name__}: {exception}")

    def _named(self, route: str, response: Any) -> dict[str, str]:
        """The asked headers of an answer."""
        given = getattr(response, "headers", None) or {}
        return {name: given[name] for name in self._headers.get(route, ()) if name in given}

    def _json(self, route: str, response: Any) -> dict[str, Any] | None:
        """The asked values of a JSON answer, or of a stream of events; None where it was neither."""
        try:
            content = _content(response)
        except (ValueError, TypeError, AttributeError):
            return None
        found = ((path, dig(content, path)) for path in self._paths.get(route, ()))
        return {path: value for path, (there, value) in found if there}


def main(plan: Plan) -> None:
    """Runs until it is told to stop, or until stdin ends."""
    # A repeated request would hide from us what a user saw.
    http._may_retry_after_send_error = _never
    recorder = Recorder(plan)
    crowds = [(crowd, _arriving(crowd, plan)) for crowd in plan.crowds]
    # Locust's own events, so that what a user's file hangs on them is heard.
    environment = Environment(
        user_classes=[cls for _, cls in crowds], events=events, host=plan.host, stop_timeout=plan.timeout + _GRACE
    )
    environment.events.request.add_listener(recorder.request)  # type: ignore[no-untyped-call]
    environment.events.user_error.add_listener(recorder.user_error)  # type: ignore[no-untyped-call]
    runner = environment.create_local_runner()
    environment.events.test_start.fire(environment=environment)  # type: ignore[no-untyped-call]
    start = time.monotonic() + _HEAD_START
    for _, cls in crowds:
        cls.schedule.begin(start)
    runner.spawn_users({cls.__name__: crowd.users(plan.timeout) for crowd, cls in crowds})
    recorder.write("ready", users=sum(crowd.users(plan.timeout) for crowd, _ in crowds))
    if gevent.os.tp_read(0, len(STOP)) != STOP:
        os._exit(1)  # the parent is gone, and with it whoever would have read of the answers under way
    runner.stop()
    recorder.write("load", **_summary(environment))


def _content(response: Any) -> Any:
    streamed = str(response.headers.get("content-type", "")).startswith(sse.MEDIA_TYPE)
    return sse.read(response.text) if streamed else json.loads(response.text)


def _never(method: str) -> bool:  # noqa: ARG001 - the name is part of what it replaces
    return False


def _arriving(crowd: Crowd, plan: Plan) -> Any:
    users = crowd.users(plan.timeout)
    found = getattr(_module(Path(crowd.file)), crowd.cls)
    # One pool for all users of a class: the connection last used is used again, as
    # by one busy client, instead of each going stale between two arrivals.
    pool = HTTPClientPool(concurrency=users, network_timeout=plan.timeout, connection_timeout=plan.timeout)
    members = {"host": plan.host, "schedule": Schedule(crowd.rate), "client_pool": pool}
    return type(f"{crowd.cls}Arriving", (Arriving, found), members)


def _module(path: Path) -> Any:
    """The module at `path`; files beside it can be imported by it."""
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    _require_users(module)
    return module


def _require_users(module: Any) -> None:
    if not any(isinstance(member, type) and issubclass(member, FastHttpUser) for member in vars(module).values()):
        raise TypeError(f"{module.__file__} has no class of locust.FastHttpUser")


def _summary(environment: Environment) -> dict[str, Any]:
    def entries() -> Iterator[tuple[str, dict[str, float]]]:
        for entry in environment.stats.entries.values():
            yield f"{entry.method} {entry.name}", {"requests": entry.num_requests, "failures": entry.num_failures}

    return {"routes": dict(entries())}
