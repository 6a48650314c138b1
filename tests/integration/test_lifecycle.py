"""The commands on a small system: up, join, down, and what is left when its keepers are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gameday.control import Control
from gameday.errors import InputError
from gameday.runtime import procfs
from gameday.state import State

SYSTEM = """
x-gameday: {entry: web}
services:
  web:
    build: .
    command: [python, -m, http.server, "8000"]
    environment: {API_URL: "http://api:8000", LABEL: "${LABEL:-plain}"}
    ports: ["${WEB_PORT:-18200}:8000"]
    depends_on: {api: {condition: service_healthy}}
    healthcheck: &ask {test: [CMD, wget, -qO-, "http://localhost:8000/"], interval: 200ms, timeout: 2s}
  api:
    build: .
    command: [/bin/sh, -c, "(setsid sleep 300 &); exec python -m http.server 8000"]
    expose: ["8000"]
    healthcheck: *ask
  cache: {image: "redis:7", expose: ["6379"]}
"""


class Project:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.state = State(directory / "state")
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith("GAMEDAY")} | {
            "GAMEDAY_STATE": str(self.state.directory),
            "XDG_STATE_HOME": str(directory / "home"),
            "WEB_PORT": "18200",
            "COLUMNS": "200",
        }
        self.write(SYSTEM)

    def write(self, text: str) -> None:
        (self.directory / "compose.yml").write_text(text)

    def run(self, *arguments: str, code: int = 0, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "gameday", *arguments],
            cwd=self.directory,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == code, f"{arguments} -> {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    def processes(self) -> dict[int, str]:
        """Every living process that works in a directory of this project: all of a system do, Redis too,
        which writes its title over the environment it was started with."""
        living = (pid for pid, entry in procfs.snapshot().items() if not entry.dead)
        return {pid: procfs.command(pid) for pid in living if self._works_here(pid)}

    def _works_here(self, pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/cwd").readlink().is_relative_to(self.directory)
        except OSError:
            return False

    def keepers(self) -> tuple[int, int]:
        told = self.state.describe()
        assert told
        return told["guardian"], told["pid"]

    def status(self) -> dict[str, dict[str, object]]:
        with Control.connect(self.state.directory) as control:
            return {service["name"]: service for service in control.call("status")["services"]}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = Project(tmp_path)
    yield made
    made.run("down")
    assert not made.processes()


def until(condition: Callable[[], object], within: float) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < within
        time.sleep(0.01)
    return time.monotonic() - began


def test_up_status_env_logs_restart_down(project: Project) -> None:
    said = project.run("up", "--trust")
    assert "3 services healthy" in said
    services = project.status()
    assert {service["state"] for service in services.values()} == {"healthy"}
    assert services["web"]["url"] == "http://127.0.0.1:18200"
    status = json.loads(project.run("status", "--json"))
    assert status["ready"]
    assert status["faults"] == []
    assert status["substitutions"]["cache"].startswith("Redis 6")
    assert status["total_pss_mb"] == pytest.approx(
        sum(service["pss_mb"] for service in status["services"]) + status["gameday_pss_mb"], abs=0.2
    )
    assert "export GAMEDAY_WEB=http://127.0.0.1:18200" in project.run("env")
    assert "GET / HTTP/1.1" in project.run("logs", "web")
    before = services["web"]["pid"]
    project.run("restart", "web")
    assert project.status()["web"]["pid"] != before
    assert "everything is ended" in project.run("down")
    assert not project.processes()
    assert "nothing was running" in project.run("down")


def test_a_second_up_joins_and_another_system_is_refused(project: Project) -> None:
    project.run("up", "--trust")
    keepers = project.keepers()
    assert "joined" in project.run("up")
    assert "joined" in project.run("up", "web")
    refused = project.run("up", "--wire", "all", code=2)
    assert "wired" in refused
    assert "mend: gameday down" in refused
    assert "the compose files or the environment changed" in project.run("up", "--trust", code=2, LABEL="other")
    assert project.keepers() == keepers


def test_replicas_from_the_command_line(project: Project) -> None:
    said = project.run("up", "--trust", "--scale", "api=2")
    assert "4 services healthy" in said
    services = project.status()
    assert list(services) == ["web", "api-1", "api-2", "cache"]
    exported = project.run("env")
    for number in (1, 2):
        assert f"export GAMEDAY_API_{number}={services[f'api-{number}']['url']}" in exported
    line = next(line for line in exported.splitlines() if line.startswith("export GAMEDAY_API="))
    both = line.partition("=")[2]
    assert f"api: each replica in turn at {both}" in project.run("status")
    for _ in range(2):
        assert urllib.request.urlopen(f"{both}/compose.yml", timeout=5).status == 200
    logs = {name: project.run("logs", name) for name in ("api", "api-1", "api-2")}
    assert [logs[name].count("GET /compose.yml") for name in logs] == [2, 1, 1]
    assert "one of: api, api-1, api-2, cache, web" in project.run("logs", "api-3", code=2)
    assert "joined" in project.run("up")
    assert "joined" in project.run("up", "--scale", "api=2")
    assert "scale: {'api': 2} runs, {'api': 3} is asked for" in project.run("up", "--scale", "api=3", code=2)
    restarted = project.run("restart", "api-2")
    assert "api-2 healthy" in restarted
    after = project.status()
    assert after["api-1"]["pid"] == services["api-1"]["pid"]
    assert after["api-2"]["pid"] != services["api-2"]["pid"]
    assert project.run("restart", "api").count("healthy") == 2


@pytest.mark.parametrize(
    ("scale", "said"),
    [
        ("api", "write SERVICE=N"),
        ("api=-1", "write SERVICE=N"),
        ("nobody=2", "'nobody' is no service"),
        ("web=2", "publishes port 18200 and has 2 replicas"),
    ],
)
def test_replicas_that_cannot_be(project: Project, scale: str, said: str) -> None:
    assert said in project.run("up", "--trust", "--scale", scale, code=2)
    assert not project.processes()


def test_a_service_of_no_replica_is_not_run(project: Project) -> None:
    project.run("up", "--trust", "--scale", "cache=0")
    assert list(project.status()) == ["web", "api"]


def test_two_ups_at_once_start_one_system(project: Project) -> None:
    command = [sys.executable, "-m", "gameday", "up", "--trust"]
    both = [
        subprocess.Popen(command, cwd=project.directory, env=project.environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted("joined" in each for each in said) == [False, True]


def test_an_unapproved_file_is_shown_and_not_run(project: Project) -> None:
    refused = project.run("up", code=2)
    assert "web: python -m http.server 8000" in refused
    assert "mend: read them, then gameday up --trust" in refused
    assert not project.processes()
    project.run("up", "--trust")
    project.run("down")
    project.run("up")
    project.run("down")
    project.write(SYSTEM.replace("setsid sleep 300", "setsid sleep 301"))
    assert "setsid sleep 301" in project.run("up", code=2)


def test_the_guardian_ends_everything_when_the_supervisor_is_killed(project: Project) -> None:
    project.run("up", "--trust", "--wire", "all")
    assert "sleep 300" in project.processes().values()
    os.kill(project.keepers()[1], signal.SIGKILL)
    assert until(lambda: not project.processes(), 2) < 2
    project.run("up")


def test_a_killed_guardian_takes_the_supervisor_down_in_order(project: Project) -> None:
    project.run("up", "--trust")
    os.kill(project.keepers()[0], signal.SIGKILL)
    until(lambda: not project.processes(), 5)


@pytest.mark.parametrize("command", ["down", "up", "recover"])
def test_the_next_command_cleans_up_when_both_were_killed(project: Project, command: str) -> None:
    project.run("up", "--trust")
    guardian, supervisor = project.keepers()
    before = set(project.processes())
    # Stopped first, so that neither can act on the death of the other.
    for pid in (guardian, supervisor):
        os.kill(pid, signal.SIGSTOP)
    for pid in (supervisor, guardian):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not {guardian, supervisor} & set(project.processes()), 2)
    # The fork server ends with its supervisor; the services do not.
    until(lambda: len(project.processes()) == 4, 5)
    project.run(command)
    assert before.isdisjoint(project.processes())


def test_a_supervisor_that_is_stopped_cannot_keep_a_system_alive(project: Project) -> None:
    project.run("up", "--trust")
    os.kill(project.keepers()[1], signal.SIGSTOP)
    project.run("down")
    assert not project.processes()


def test_a_system_whose_proxy_died_is_ended_and_says_why(project: Project) -> None:
    project.run("up", "--trust", "--wire", "all")
    (proxy,) = [pid for pid, command in project.processes().items() if "gameday.proxy" in command]
    os.kill(proxy, signal.SIGKILL)
    until(lambda: not project.processes(), 10)
    told = project.state.describe()
    assert told
    assert "all that ran through it is cut" in told["failure"]["error"]
    project.run("up", "--wire", "all")


def test_ctrl_c_while_starting_ends_everything(project: Project) -> None:
    project.write(SYSTEM.replace("exec python -m http.server 8000", "exec sleep 60"))
    process = subprocess.Popen(
        [sys.executable, "-m", "gameday", "up", "--trust"], cwd=project.directory, env=project.environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    until(lambda: "sleep 300" in project.processes().values(), 20)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130, said
    assert not project.processes()


def test_a_crash_at_start_is_shown_and_everything_ended(project: Project) -> None:
    project.write(SYSTEM.replace("exec python -m http.server 8000", "echo no such table; exit 7"))
    said = project.run("up", "--trust", code=3)
    assert "api: ended while starting: exit code 7" in said
    assert "  no such table" in said
    assert not project.processes()
    with pytest.raises(InputError, match="nothing is running"):
        Control.connect(project.state.directory)


def test_the_control_socket_is_for_its_owner_alone(project: Project) -> None:
    project.run("up", "--trust", "cache")
    assert (project.state.directory / "supervisor.sock").stat().st_mode & 0o777 == 0o600
    assert list(project.status()) == ["cache"]


def test_observed_edges_name_the_service_behind_a_wire(project: Project) -> None:
    project.write(
        SYSTEM.replace(
            'command: [python, -m, http.server, "8000"]\n    environment',
            "command: [python, caller.py]\n    environment",
        )
    )
    (project.directory / "caller.py").write_text(
        "import http.server, os, socket, urllib.parse\n"
        "url = urllib.parse.urlsplit(os.environ['API_URL'])\n"
        "held = socket.create_connection((url.hostname, url.port))\n"
        "server = http.server.ThreadingHTTPServer(('127.0.0.1', 18200), http.server.SimpleHTTPRequestHandler)\n"
        "server.serve_forever()\n"
    )
    project.run("up", "--trust", "--wire", "all")
    with Control.connect(project.state.directory) as control:
        (wire,) = control.call("wires")
        assert wire["edge"] == "web->api"
        assert wire["upstreams"] == [control.call("endpoints")["api"]["8000"]] != [wire["listen"]]
        assert wire["counters"]["connections"] == 1
        assert control.call("wires", edge="web->api:8000")[0]["listen"] == wire["listen"]
        assert control.call("wires", edge="api->web") == []
        assert control.call("connections") == [{"from": "web", "to": "api", "port": 8000}]
