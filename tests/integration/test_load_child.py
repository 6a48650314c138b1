"""The load: an open model, whatever the server does. A server of a few lines stands in for the system."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gameday.errors import GamedayError
from gameday.tools.locust import Crowd, LoadChild, Plan

RATE = 50.0
USERS = """
import time
from locust import FastHttpUser, events, task

prepared = []

@events.test_start.add_listener
def prepare(environment, **_):
    prepared.append(environment.host)

class Visitor(FastHttpUser):
    @task
    def page(self):
        print("noise on stdout")
        self.client.get("/page?x=1", name="/page")

class Hog(FastHttpUser):
    # Keeps the whole generator busy now and then.
    served = 0

    @task
    def page(self):
        Hog.served += 1
        if Hog.served % 40 == 0:
            end = time.perf_counter() + 0.4
            while time.perf_counter() < end:
                pass
        self.client.get("/page", name="/page")

class Prepared(FastHttpUser):
    @task
    def page(self):
        assert prepared == [self.host]
        self.client.get("/page", name="/page")

class Broken(FastHttpUser):
    @task
    def page(self):
        raise RuntimeError("oh")
"""
ASKED = ["a.b", "a.b.1", "x", "last.event", "last.data.a.b", "rest"]
ANSWER = b'{"a": {"b": [1, 2]}, "c": null}'
Behaviour = Callable[[float, asyncio.StreamWriter], Any]


async def answer(_: float, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(ANSWER), ANSWER))


async def stall(now: float, writer: asyncio.StreamWriter) -> None:
    """Between the first and the second second nothing is answered."""
    if 1 < now < 2:
        await asyncio.sleep(2 - now)
    await answer(now, writer)


async def hang_up(_: float, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def garbage(_: float, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 503 No\r\ncontent-length: 3\r\n\r\nno!")


async def stream(_: float, writer: asyncio.StreamWriter) -> None:
    said = b'event: delta\ndata: {"a": 1}\n\nevent: done\ndata: {"a": {"b": 2}}\n\n'
    writer.write(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncontent-length: %d\r\n\r\n%s"
        % (len(said), said)
    )


async def silence(_: float, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


@contextmanager
def server(behaviour: Behaviour) -> Iterator[tuple[str, list[float]]]:
    """Yields the URL and when each request arrived, in seconds since the first."""
    arrived: list[float] = []
    started = threading.Event()
    where: list[Any] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                arrived.append(time.monotonic())
                await behaviour(time.monotonic() - arrived[0], writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def main() -> None:
        listening = await asyncio.start_server(handle, "127.0.0.1", 0)
        stop = asyncio.Event()
        where[:] = [listening.sockets[0].getsockname()[1], asyncio.get_running_loop(), stop]
        started.set()
        await stop.wait()
        listening.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    started.wait(5)
    try:
        yield f"http://127.0.0.1:{where[0]}", arrived
    finally:
        where[1].call_soon_threadsafe(where[2].set)
        thread.join(5)


@contextmanager
def load(tmp_path: Path, url: str, cls: str = "Visitor", timeout: float = 3.0) -> Iterator[LoadChild]:
    (tmp_path / "visitors.py").write_text(USERS)
    plan = Plan(url, [Crowd(str(tmp_path / "visitors.py"), cls, RATE)], {"GET /page": ASKED}, timeout)
    child = LoadChild(plan, tmp_path / "load.log")
    try:
        yield child
    finally:
        child.stop()


def gather(child: LoadChild, kind: str, enough: int, limit: float = 15.0) -> list[dict[str, Any]]:
    deadline = time.monotonic() + limit
    found: list[dict[str, Any]] = []
    while len(found) < enough:
        assert time.monotonic() < deadline, found
        found += [event for event in child.events() if event["kind"] == kind]
        time.sleep(0.02)
    return found


def test_a_stalled_server_neither_thins_the_load_nor_hides_its_latency(tmp_path: Path) -> None:
    with server(stall) as (url, arrived), load(tmp_path, url) as child:
        requests = sorted(gather(child, "request", 180), key=lambda request: request["intended_wall"])
    intended = [request["intended_wall"] for request in requests]
    steps = [after - before for before, after in itertools.pairwise(intended)]
    assert max(steps) == pytest.approx(1 / RATE, abs=0.001)
    slow = [request["ms"] for request in requests if request["ms"] > 100]
    assert len(slow) == pytest.approx(0.9 * RATE, abs=0.15 * RATE)
    assert max(slow) == pytest.approx(1000, abs=150)
    # The server, too, was asked at the constant rate while it stalled.
    assert len([wall for wall in arrived if 1 < wall - arrived[0] < 2]) == pytest.approx(RATE, abs=0.15 * RATE)


def test_what_the_generator_is_late_counts_as_latency_and_is_told_apart(tmp_path: Path) -> None:
    with server(answer) as (url, _), load(tmp_path, url, "Hog") as child:
        requests = gather(child, "request", 90)
    late = [request for request in requests if request["lag_ms"] > 150]
    assert late
    assert all(request["ms"] >= request["lag_ms"] for request in late)


def test_a_request_is_recorded_with_what_was_asked_of_its_answer(tmp_path: Path) -> None:
    with server(answer) as (url, _), load(tmp_path, url) as child:
        request = gather(child, "request", 5)[-1]
    assert (request["route"], request["status"], request["error"]) == ("GET /page", 200, None)
    assert request["json"] == {"a.b": [1, 2], "a.b.1": 2}
    assert request["started_wall"] >= request["intended_wall"]
    assert abs(request["intended_wall"] - time.time()) < 30


def test_of_a_stream_is_recorded_what_was_said_and_how_it_ended(tmp_path: Path) -> None:
    with server(stream) as (url, _), load(tmp_path, url) as child:
        request = gather(child, "request", 5)[-1]
    assert request["json"] == {"last.event": "done", "last.data.a.b": 2, "rest": ""}


def test_a_file_of_users_is_told_of_the_start_before_anybody_arrives(tmp_path: Path) -> None:
    with server(answer) as (url, _), load(tmp_path, url, "Prepared") as child:
        request = gather(child, "request", 5)[-1]
        errors = [event for event in child.events() if event["kind"] == "error"]
    assert (request["status"], errors) == (200, [])


def test_no_answer_is_told_once_and_never_asked_again(tmp_path: Path) -> None:
    with server(hang_up) as (url, arrived), load(tmp_path, url) as child:
        requests = gather(child, "request", 50)
    requests += [event for event in child.events() if event["kind"] == "request"]
    assert {(request["status"], request["json"]) for request in requests} == {(None, None)}
    assert all(request["error"] for request in requests)
    assert len(arrived) == len(requests)


def test_an_answer_that_is_no_json_and_no_success_is_a_record_like_any_other(tmp_path: Path) -> None:
    with server(garbage) as (url, _), load(tmp_path, url) as child:
        request = gather(child, "request", 5)[-1]
    assert (request["status"], request["json"], request["error"]) == (503, None, None)


def test_at_the_end_what_is_under_way_is_waited_for_and_then_told(tmp_path: Path) -> None:
    with server(silence) as (url, arrived), load(tmp_path, url, timeout=1.0) as child:
        requests = gather(child, "request", 1)
    requests += [event for event in child.events() if event["kind"] == "request"]
    assert len(requests) == len(arrived)
    assert all(request["ms"] == pytest.approx(1000, abs=300) for request in requests)


def test_the_oldest_request_without_an_answer_is_told(tmp_path: Path) -> None:
    with server(stall) as (url, _), load(tmp_path, url) as child:
        requests = gather(child, "request", 120)
    waited = [request for request in requests if request["oldest_wall"] is not None]
    assert waited
    for request in waited:
        ended = request["intended_wall"] + request["ms"] / 1000
        assert request["oldest_wall"] <= ended


def test_a_user_that_raises_is_an_error_of_the_run(tmp_path: Path) -> None:
    with server(answer) as (url, _), load(tmp_path, url, "Broken") as child:
        error = gather(child, "error", 1)[0]
    assert "RuntimeError: oh" in error["message"]


def test_a_child_that_dies_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "visitors.py").write_text("raise RuntimeError('at import')\n")
    plan = Plan("http://127.0.0.1:1", [Crowd(str(tmp_path / "visitors.py"), "Visitor", 1.0)], {}, 1.0)
    child = LoadChild(plan, tmp_path / "load.log")
    with pytest.raises(GamedayError, match="ended with 1"):
        gather(child, "request", 1)
    assert "at import" in (tmp_path / "load.log").read_text()
    child.stop()


def test_the_load_ends_with_its_parent(tmp_path: Path) -> None:
    """However the parent ends."""
    (tmp_path / "visitors.py").write_text(USERS)
    with server(answer) as (url, arrived):
        code = (
            "import sys, time; from pathlib import Path; from gameday.tools.locust import *\n"
            f"LoadChild(Plan({url!r}, [Crowd(sys.argv[1], 'Visitor', 50.0)], {{}}, 1.0), Path(sys.argv[2]))\n"
            "time.sleep(60)\n"
        )
        command = [sys.executable, "-c", code, str(tmp_path / "visitors.py"), str(tmp_path / "load.log")]
        parent = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])})
        deadline = time.monotonic() + 15
        while not arrived:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        parent.kill()
        parent.wait()
        while time.monotonic() - arrived[-1] < 0.5:
            assert time.monotonic() < deadline + 10
            time.sleep(0.02)
