"""What doctor says of machines and catalogues; the machine's own answers are replaced where they matter."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest

from gameday import doctor
from gameday.catalogue import Catalogue, compose

FILE = """
services:
  web:
    build: .
    command: [touch, executed]
    ports: ["127.0.0.1:{port}:80"]
  metrics: {{image: prom/prometheus:v2.42.0}}
  stream: {{image: "apache/kafka:4"}}
"""


@pytest.fixture(autouse=True)
def _no_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GAMEDAY_STATE", str(tmp_path / "state"))


@pytest.fixture
def taken() -> socket.socket:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener


def catalogue(directory: Path, port: int) -> Catalogue:
    file = directory / "compose.yml"
    file.write_text(FILE.format(port=port))
    return compose.load([file], environment={})


def items(found: list[doctor.Item]) -> dict[str, doctor.Item]:
    return {item.what: item for item in found}


def test_a_server_that_is_not_installed_is_missing_with_its_package(
    tmp_path: Path, taken: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    found = items(doctor.examine(catalogue(tmp_path, taken.getsockname()[1])))
    assert found["prom/prometheus:v2.42.0"].found == ""
    assert "apt-get install prometheus" in found["prom/prometheus:v2.42.0"].mend


def test_an_image_without_a_local_server_is_missing(tmp_path: Path, taken: socket.socket) -> None:
    found = items(doctor.examine(catalogue(tmp_path, taken.getsockname()[1])))
    assert (found["apache/kafka:4"].needed_by, found["apache/kafka:4"].found) == ("stream", "")
    assert found["apache/kafka:4"].mend


def test_a_port_in_use_is_missing_until_it_is_free(tmp_path: Path, taken: socket.socket) -> None:
    port = taken.getsockname()[1]
    assert items(doctor.examine(catalogue(tmp_path, port)))[f"port {port}"].found == ""
    taken.close()
    assert items(doctor.examine(catalogue(tmp_path, port)))[f"port {port}"].found == "free"


def test_nothing_of_the_project_is_executed(tmp_path: Path, taken: socket.socket) -> None:
    doctor.examine(catalogue(tmp_path, taken.getsockname()[1]))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["compose.yml"]


def test_without_a_catalogue_every_local_server_is_listed() -> None:
    found = items(doctor.examine(None))
    assert {"Python", "memory", "postgres", "redis", "rabbitmq", "prom/prometheus"} <= set(found)


def test_little_memory_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_LEAST_MEMORY_MIB", 1 << 40)
    assert items(doctor.examine(None))["memory"].found == ""
