"""What the Prometheus family keeps: in its volume, or with its container."""

from __future__ import annotations

from pathlib import Path

import pytest

from gameday.catalogue.model import Location, Service
from gameday.runtime import Endpoint
from gameday.runtime.images import Place, debian


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian, "program", lambda name: f"/usr/bin/{name}")


def place(home: Path, command: tuple[str, ...], arguments: tuple[str, ...]) -> Place:
    service = Service("alertmanager", Location(home, 1), command=command)
    endpoints = {9093: Endpoint("127.0.0.1", 41000)}
    return Place(service, endpoints, {}, {}, arguments, home, lambda path: home / path.lstrip("/"))


def test_storage_without_a_volume_begins_empty_below_the_home(tmp_path: Path) -> None:
    command = ("--storage.path=/alertmanager",)
    (tmp_path / "alertmanager").mkdir()
    (tmp_path / "alertmanager" / "nflog").write_text("an earlier system was told")
    launch = debian.launch(place(tmp_path, command, command), "alertmanager", 9093, ())
    assert f"--storage.path={tmp_path / 'alertmanager'}" in launch.argv
    assert list((tmp_path / "alertmanager").iterdir()) == []


def test_storage_in_a_volume_is_kept(tmp_path: Path) -> None:
    volume = tmp_path / "volumes" / "prometheus"
    volume.mkdir(parents=True)
    (volume / "wal").touch()
    here = place(tmp_path, ("--storage.tsdb.path=/prometheus",), (f"--storage.tsdb.path={volume}",))
    launch = debian.launch(here, "prometheus", 9093, ())
    assert f"--storage.tsdb.path={volume}" in launch.argv
    assert (volume / "wal").exists()


def test_the_address_is_the_one_that_was_allotted(tmp_path: Path) -> None:
    launch = debian.launch(place(tmp_path, (), ("--web.listen-address=:9093",)), "alertmanager", 9093, ())
    assert launch.argv == ("/usr/bin/alertmanager", "--web.listen-address=127.0.0.1:41000")
