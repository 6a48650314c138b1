"""Addresses of a compose network become those of this machine, and nothing else changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from gameday.runtime import Endpoint, addresses

OWN = {8000: Endpoint("127.0.0.1", 20001), 80: Endpoint("127.0.0.1", 20002)}


def yaml(text: str) -> object:
    return YAML(typ="safe").load(text)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("PORT", "8000", "20001"),
        ("HTTP_PORT", "80", "20002"),
        ("PORT", "9000", "9000"),
        ("WORKERS", "8000", "8000"),
        ("HOST", "0.0.0.0", "127.0.0.1"),
        ("LISTEN", "0.0.0.0:8000", "127.0.0.1:20001"),
        ("LISTEN", "0.0.0.0:80001", "0.0.0.0:80001"),
        ("NAME", "web", "web"),
    ],
)
def test_where_a_service_itself_listens(key: str, value: str, expected: str) -> None:
    assert addresses.own({key: value}, OWN) == {key: expected}


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("8000", "20001"),
        ("--port=8000", "--port=20001"),
        ("0.0.0.0:8000", "127.0.0.1:20001"),
        (":8000", ":20001"),
        ("exec serve --host 0.0.0.0 --port 8000 --workers 2", "exec serve --host 127.0.0.1 --port 20001 --workers 2"),
        ("18000", "18000"),
        ("8000.5", "8000.5"),
        ("v8000", "v8000"),
        ("file-8000", "file-8000"),
    ],
)  # fmt: skip
def test_a_command_listens_where_its_port_was_allotted(argument: str, expected: str) -> None:
    assert addresses.arguments([argument], OWN) == [expected]


def test_a_command_of_a_service_without_ports_stays_as_it_is() -> None:
    assert addresses.arguments(["--port", "8000"], {}) == ["--port", "8000"]


SCRAPED = """\
scrape_configs:
  # All of it.
  - job_name: web
    static_configs:
      - targets: [web:80, 'db:5432']
  - job_name: blackbox
    static_configs:
      - targets: ["http://web:80/"]
    relabel_configs:
      - {target_label: __address__, replacement: "web:80"}
"""
REPLICAS = {"web:80": ["web-1:80", "web-2:80"]}


def test_every_replica_is_scraped_where_their_service_is_named() -> None:
    expected = SCRAPED.replace("[web:80, 'db:5432']", "\n        - web-1:80\n        - web-2:80\n        - db:5432")
    found = yaml(addresses.targets(SCRAPED, REPLICAS))
    assert found == yaml(expected)
    assert "# All of it." in addresses.targets(SCRAPED, REPLICAS)


@pytest.mark.parametrize("content", ["targets: [web:80]", "static_configs: [db:80]", "static_configs: [}: web:80"])
def test_what_names_no_replicated_target_stays_as_it_is(content: str) -> None:
    assert addresses.targets(content, REPLICAS) == content


TABLE = {"api:80": "127.0.0.1:20002", "api:8000": "127.0.0.1:20001", "gameday-webhook:9095": "user:pass@127.0.0.1:1"}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("targets: [api:80, 'api:8000']", "targets: [127.0.0.1:20002, '127.0.0.1:20001']"),
        ("url: http://gameday-webhook:9095/alerts", "url: http://user:pass@127.0.0.1:1/alerts"),
        ("my-api:80 x.api:80 api:801 api", "my-api:80 x.api:80 api:801 api"),
    ],
)
def test_configuration_names_whole_addresses_only(content: str, expected: str) -> None:
    assert addresses.text(content, TABLE) == expected


def test_no_table_changes_nothing() -> None:
    assert addresses.text("api:80", {}) == "api:80"


def test_a_health_check_asks_its_own_service() -> None:
    test = ["CMD-SHELL", "curl -f http://localhost:8000/health && wget -qO- web:80 && curl other:80"]
    expected = "curl -f http://127.0.0.1:20001/health && wget -qO- 127.0.0.1:20002 && curl other:80"
    assert addresses.health(test, "web", OWN) == ["CMD-SHELL", expected]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("/data", "/host/d"),
        ("/data/models/x", "/host/d/models/x"),
        ("--dir=/data", "--dir=/host/d"),
        ("/data/sub/y", "/host/s/y"),
        ("/database", "/database"),
        ("/srv/data", "/srv/data"),
        ("a:/data:b", "a:/host/d:b"),
    ],
)
def test_container_paths_below_a_mount(value: str, expected: str) -> None:
    mounts = {"/data": Path("/host/d"), "/data/sub": Path("/host/s")}
    if "/sub" not in value:
        mounts.pop("/data/sub")
    assert addresses.paths(value, mounts) == expected
