"""Edges: rewritten, observed, and of which kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from gameday.catalogue import Catalogue, compose, kinds
from gameday.catalogue.edges import observe, rewritten
from gameday.catalogue.endpoints import references
from gameday.catalogue.model import EdgeKind, Evidence, HealthCheck, Location, Service

STRANGERS = Path(__file__).parent / "strangers"


def load(tmp_path: Path, text: str) -> Catalogue:
    file = tmp_path / "compose.yaml"
    file.write_text(text)
    return compose.load([file], environment={})


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"URL": "http://api:3000/x"}, {"URL": "http://127.0.0.1:41000/x"}),
        ({"URL": "http://api/x"}, {"URL": "http://127.0.0.1:41000/x"}),
        ({"URL": "redis://:api@api"}, {"URL": "redis://:api@127.0.0.1:41000"}),
        ({"URL": "redis://u:p@ss@api:1"}, {"URL": "redis://u:p@ss@127.0.0.1:41000"}),
        ({"LIST": "api:1,elsewhere:2,api:3"}, {"LIST": "127.0.0.1:41000,elsewhere:2,127.0.0.1:41000"}),
        ({"API_HOST": "api", "API_PORT": "80"}, {"API_HOST": "127.0.0.1", "API_PORT": "41000"}),
        ({"API_HOST": "api"}, {"API_HOST": "127.0.0.1"}),
        ({"API_ADDR": "api"}, {"API_ADDR": "127.0.0.1:41000"}),
        ({"DSN": "port=80 host=api user=api"}, {"DSN": "port=41000 host=127.0.0.1 user=api"}),
        ({"NAME": "api", "OTHER": "http://elsewhere"}, {"NAME": "api", "OTHER": "http://elsewhere"}),
    ],
)
def test_the_environment_with_providers_elsewhere(
    tmp_path: Path, environment: dict[str, str], expected: dict[str, str]
) -> None:
    lines = "".join(f"      {key}: '{value}'\n" for key, value in environment.items())
    catalogue = load(tmp_path, f"services:\n  api: {{image: a}}\n  web:\n    image: w\n    environment:\n{lines}")
    assert rewritten(catalogue, "web", lambda provider, port: ("127.0.0.1", 41000)) == expected


def test_no_address_leaves_the_value_alone(tmp_path: Path) -> None:
    catalogue = load(tmp_path, "services: {api: {image: a}, web: {image: w, environment: {X: 'api:1'}}}")
    assert rewritten(catalogue, "web", lambda provider, port: None) == {"X": "api:1"}


@pytest.mark.parametrize("stranger", sorted(path.name for path in STRANGERS.iterdir()))
def test_after_rewriting_no_service_is_named(stranger: str) -> None:
    catalogue = compose.load(compose.find(STRANGERS / stranger), environment={"STACK_VERSION": "8"}, profiles=["*"])
    for name, service in catalogue.services.items():
        others = {host: each for host, each in catalogue.names[name].items() if each != name}
        after = rewritten(catalogue, name, lambda provider, port: ("127.0.0.1", 41000))
        assert after.keys() == service.environment.keys()
        assert references(after, others) == []


def test_an_observed_connection_backs_an_edge_or_makes_one(tmp_path: Path) -> None:
    catalogue = load(
        tmp_path,
        "services: {db: {image: postgres}, job: {image: j}, api: {image: a, depends_on: [job],"
        " environment: {DB_URL: 'postgres://db'}}}",
    )
    seen = [("api", "db", 5432), ("api", "job", 8080), ("job", "db", 5432), ("api", "api", 1), ("api", "gone", 1)]
    edges = {(edge.name, edge.port): edge for edge in observe(catalogue, seen).edges}
    assert {key: edge.evidence for key, edge in edges.items()} == {
        ("api->db", 5432): (Evidence.DECLARED, Evidence.OBSERVED),
        ("api->job", 8080): (Evidence.STATED, Evidence.OBSERVED),
        ("job->db", 5432): (Evidence.OBSERVED,),
    }
    assert edges["job->db", 5432].kind is EdgeKind.STORE


@pytest.mark.parametrize(
    ("image", "port", "scheme", "keys", "kind"),
    [
        (None, None, None, (), EdgeKind.TCP),
        (None, 3000, "https", (), EdgeKind.HTTP),
        (None, 4000, "wss", (), EdgeKind.WEBSOCKET),
        (None, 50051, "http", (), EdgeKind.GRPC),
        (None, 9000, None, ("ORDERS_GRPC_ADDR",), EdgeKind.GRPC),
        (None, 1, "postgresql+asyncpg", (), EdgeKind.STORE),
        (None, 1, "jdbc:mysql", (), EdgeKind.STORE),
        (None, 5672, None, (), EdgeKind.BROKER),
        ("docker.io/library/rabbitmq:3@sha256:0", None, None, (), EdgeKind.BROKER),
        ("rabbitmq:3-management", 15672, None, (), EdgeKind.TCP),
        ("localhost:5000/team/redis", 6379, None, (), EdgeKind.STORE),
        ("prom/prometheus", 9090, None, (), EdgeKind.HTTP),
        ("acme/app", 9000, None, (), EdgeKind.TCP),
    ],
)
def test_kinds(image: str | None, port: int | None, scheme: str | None, keys: tuple[str, ...], kind: EdgeKind) -> None:
    provider = Service("p", Location(Path("x"), 1), image=image)
    assert kinds.kind(provider, port, scheme, keys) is kind


def test_a_provider_that_is_asked_by_http_speaks_http() -> None:
    checked = HealthCheck(("CMD", "curl", "-f", "localhost"))
    for provider in (
        Service("p", Location(Path("x"), 1), health=checked),
        Service("p", Location(Path("x"), 1), metrics_path="/metrics"),
    ):
        assert kinds.kind(provider, 3000, None, ()) is EdgeKind.HTTP
