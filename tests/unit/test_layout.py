"""Ports, environment, arguments and configuration of services as they are on this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gameday.catalogue import compose
from gameday.errors import InputError
from gameday.runtime import Endpoint, ports
from gameday.runtime.layout import Layout
from gameday.state import State

SYSTEM = """
services:
  web:
    build: .
    command: [python, -m, web, --port, "3000", --models, /models]
    environment:
      PORT: 3000
      API_URL: http://api:9000/v1
      API_PORT: 3000
      DATABASE: db
      POSTGRES_URL: postgresql://u:p@db/app
      MODELS: /models/latest
    volumes: ["models:/models"]
    healthcheck: {test: [CMD, curl, -f, "http://localhost:3100/live"]}
  api: {build: ./api, command: [./run.sh]}
  db: {image: "postgres:16"}
  prometheus:
    image: prom/prometheus
    command: [--config.file=/etc/prometheus/prometheus.yml, --storage.tsdb.path=/data, --web.route-prefix=/prom]
    volumes: ["./prometheus:/etc/prometheus:ro"]
volumes: {models: {}}
"""


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Layout]:
    def make(text: str = SYSTEM) -> Layout:
        (tmp_path / "compose.yml").write_text(text)
        (tmp_path / "prometheus").mkdir(exist_ok=True)
        (tmp_path / "prometheus" / "prometheus.yml").write_text("targets: [api:9000, gameday:1]\n")
        catalogue = compose.load([tmp_path / "compose.yml"], environment={})
        return Layout(catalogue, list(catalogue.services), State(tmp_path / "state"), {"gameday:1": "127.0.0.1:2"})

    return make


def test_every_port_that_anybody_names_is_allotted_once(build: Callable[..., Layout]) -> None:
    layout = build()
    assert set(layout.endpoints["web"]) == {3000, 3100}
    assert set(layout.endpoints["api"]) == {9000}
    assert set(layout.endpoints["db"]) == {5432}
    assert set(layout.endpoints["prometheus"]) == {9090}
    given = [endpoint for own in layout.endpoints.values() for endpoint in own.values()]
    assert len(set(given)) == len(given)
    assert {endpoint.host for endpoint in given} == {"127.0.0.1"}


def test_the_same_directory_gets_the_same_ports(build: Callable[..., Layout]) -> None:
    assert build().endpoints == build().endpoints


def test_environment(build: Callable[..., Layout], tmp_path: Path) -> None:
    layout = build()
    proxy = {("api", 9000): Endpoint("127.0.0.1", 7), ("db", 5432): Endpoint("127.0.0.1", 8)}
    found = layout.environment(service(layout, "web"), lambda name, port: proxy[name, port or 5432])
    assert found == {
        "PORT": str(layout.endpoints["web"][3000].port),
        "API_URL": "http://127.0.0.1:7/v1",
        "API_PORT": str(layout.endpoints["web"][3000].port),
        "DATABASE": "db",
        "POSTGRES_URL": "postgresql://u:p@127.0.0.1:8/app",
        "MODELS": str(tmp_path / "state/volumes/models/latest"),
    }


def service(layout: Layout, name: str):  # type: ignore[no-untyped-def]
    return layout._catalogue.services[name]


def test_arguments_of_a_command(build: Callable[..., Layout], tmp_path: Path) -> None:
    layout = build()
    program, *arguments = layout.arguments(service(layout, "web"))
    assert Path(program).name.startswith("python")
    models = str(tmp_path / "state/volumes/models")
    assert arguments == ["-m", "web", "--port", str(layout.endpoints["web"][3000].port), "--models", models]
    assert layout.directory(service(layout, "web")) == tmp_path
    assert layout.directory(service(layout, "api")) == tmp_path / "api"


def test_an_image_writes_below_the_state_directory_only(build: Callable[..., Layout], tmp_path: Path) -> None:
    layout = build()
    config, data, prefix = layout.arguments(service(layout, "prometheus"))
    copy = tmp_path / "state/config/prometheus/etc-prometheus"
    assert config == f"--config.file={copy}/prometheus.yml"
    assert data == f"--storage.tsdb.path={tmp_path}/state/volumes/prometheus.home/data"
    assert prefix == "--web.route-prefix=/prom"


def test_configuration_is_copied_with_its_addresses_and_read_again_at_a_restart(
    build: Callable[..., Layout], tmp_path: Path
) -> None:
    layout = build()
    layout.mounts(service(layout, "prometheus"))
    copy = tmp_path / "state/config/prometheus/etc-prometheus/prometheus.yml"
    assert copy.read_text() == f"targets: [{layout.endpoints['api'][9000]}, 127.0.0.1:2]\n"
    (tmp_path / "prometheus/prometheus.yml").write_text("changed")
    layout.mounts(service(layout, "prometheus"))
    assert copy.read_text() != "changed"
    layout.refresh(service(layout, "prometheus"))
    layout.mounts(service(layout, "prometheus"))
    assert copy.read_text() == "changed"


def test_replicas_share_named_volumes_and_nothing_else(build: Callable[..., Layout], tmp_path: Path) -> None:
    layout = build(
        "services:\n  web:\n    build: .\n    command: [serve, --port, '80']\n    expose: ['80']\n"
        "    environment: {PORT: 80}\n    volumes: ['shared:/shared', '/own']\n    deploy: {replicas: 2}\n"
        "  prometheus: {image: prom/prometheus, volumes: ['./prometheus:/etc/prometheus:ro']}\nvolumes: {shared: {}}\n"
    )
    first, second = layout._catalogue.replicas("web")
    mounts, others = layout.mounts(first), layout.mounts(second)
    assert mounts["/shared"] == others["/shared"]
    assert mounts["/own"] != others["/own"]
    assert layout.home(first) != layout.home(second)
    ports = [layout.endpoints[name][80].port for name in ("web", "web-1", "web-2")]
    assert len(set(ports)) == 3
    for each, port in zip((first, second), ports[1:], strict=True):
        assert layout.arguments(each)[-1] == str(port)
        assert layout.environment(each, lambda *_: None)["PORT"] == str(port)


def test_prometheus_scrapes_each_replica(build: Callable[..., Layout], tmp_path: Path) -> None:
    layout = build(
        "services:\n  web: {build: ., command: [serve], expose: ['80'], deploy: {replicas: 2}}\n"
        "  prometheus: {image: prom/prometheus, volumes: ['./prometheus:/etc/prometheus:ro']}\n"
    )
    (tmp_path / "prometheus/prometheus.yml").write_text("static_configs: [{targets: [web:80]}]\nalso: http://web:80\n")
    layout.mounts(service(layout, "prometheus"))
    copy = (tmp_path / "state/config/prometheus/etc-prometheus/prometheus.yml").read_text()
    for name in ("web", "web-1", "web-2"):
        assert copy.count(str(layout.endpoints[name][80])) == 1


def test_published_ports_in_use_are_told_together_with_a_mend(
    build: Callable[..., Layout], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "available", lambda port: port not in (4000, 4001, 4100))
    text = (
        'services:\n  a: {image: "redis:7", ports: ["${A_PORT:-4000}:6379"]}\n'
        '  b: {image: "redis:7", ports: ["4100:6379"]}\n'
    )
    with pytest.raises(InputError) as raised:
        build(text)
    first, second = raised.value.problems
    assert (first.message, first.line, first.mend) == ("port 4000 is in use", 2, "A_PORT=4002 gameday up")
    assert (second.value, second.line) == (4100, 3)
    assert "4101" in second.mend


def test_a_published_port_is_taken_as_it_is(build: Callable[..., Layout]) -> None:
    layout = build('services: {a: {image: "redis:7", ports: ["127.0.0.1:4321:6379", "5000"]}}')
    assert layout.endpoints["a"][6379] == Endpoint("127.0.0.1", 4321)
    assert 20_000 <= layout.endpoints["a"][5000].port < 32_000
