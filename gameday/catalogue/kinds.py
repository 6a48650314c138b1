"""What an edge speaks, read from a URL's scheme, the provider's image, or a well-known port."""

from __future__ import annotations

import re

from gameday.catalogue.endpoints import words
from gameday.catalogue.model import EdgeKind, Service

HTTP, GRPC, WEBSOCKET, STORE, BROKER, TCP = (
    EdgeKind.HTTP,
    EdgeKind.GRPC,
    EdgeKind.WEBSOCKET,
    EdgeKind.STORE,
    EdgeKind.BROKER,
    EdgeKind.TCP,
)

# scheme -> kind and the port that it means where none is written
SCHEMES: dict[str, tuple[EdgeKind, int | None]] = {
    "http": (HTTP, 80),
    "https": (HTTP, 443),
    "grpc": (GRPC, None),
    "grpcs": (GRPC, None),
    "ws": (WEBSOCKET, 80),
    "wss": (WEBSOCKET, 443),
    "postgres": (STORE, 5432),
    "postgresql": (STORE, 5432),
    "postgis": (STORE, 5432),
    "pgsql": (STORE, 5432),
    "cockroachdb": (STORE, 26257),
    "mysql": (STORE, 3306),
    "mysql2": (STORE, 3306),
    "mariadb": (STORE, 3306),
    "sqlserver": (STORE, 1433),
    "mssql": (STORE, 1433),
    "oracle": (STORE, 1521),
    "mongodb": (STORE, 27017),
    "redis": (STORE, 6379),
    "rediss": (STORE, 6379),
    "valkey": (STORE, 6379),
    "memcached": (STORE, 11211),
    "clickhouse": (STORE, 9000),
    "cassandra": (STORE, 9042),
    "neo4j": (STORE, 7687),
    "bolt": (STORE, 7687),
    "amqp": (BROKER, 5672),
    "amqps": (BROKER, 5671),
    "pyamqp": (BROKER, 5672),
    "kafka": (BROKER, 9092),
    "plaintext": (BROKER, 9092),
    "nats": (BROKER, 4222),
    "mqtt": (BROKER, 1883),
    "mqtts": (BROKER, 8883),
    "pulsar": (BROKER, 6650),
    "stomp": (BROKER, 61613),
    "smtp": (TCP, 25),
}

# the last part of an image's name -> kind and the port that the image listens on
IMAGES: dict[str, tuple[EdgeKind, int]] = {
    "postgres": (STORE, 5432),
    "postgresql": (STORE, 5432),
    "pgvector": (STORE, 5432),
    "postgis": (STORE, 5432),
    "timescaledb": (STORE, 5432),
    "mysql": (STORE, 3306),
    "mysql-server": (STORE, 3306),
    "mariadb": (STORE, 3306),
    "percona": (STORE, 3306),
    "mssql": (STORE, 1433),
    "azure-sql-edge": (STORE, 1433),
    "mongo": (STORE, 27017),
    "mongodb": (STORE, 27017),
    "redis": (STORE, 6379),
    "redis-stack": (STORE, 6379),
    "redis-stack-server": (STORE, 6379),
    "valkey": (STORE, 6379),
    "keydb": (STORE, 6379),
    "dragonfly": (STORE, 6379),
    "memcached": (STORE, 11211),
    "cassandra": (STORE, 9042),
    "scylla": (STORE, 9042),
    "clickhouse-server": (STORE, 9000),
    "cockroach": (STORE, 26257),
    "elasticsearch": (STORE, 9200),
    "opensearch": (STORE, 9200),
    "neo4j": (STORE, 7687),
    "couchdb": (STORE, 5984),
    "influxdb": (STORE, 8086),
    "minio": (STORE, 9000),
    "etcd": (STORE, 2379),
    "zookeeper": (STORE, 2181),
    "cp-zookeeper": (STORE, 2181),
    "rabbitmq": (BROKER, 5672),
    "kafka": (BROKER, 9092),
    "cp-kafka": (BROKER, 9092),
    "redpanda": (BROKER, 9092),
    "nats": (BROKER, 4222),
    "eclipse-mosquitto": (BROKER, 1883),
    "emqx": (BROKER, 1883),
    "pulsar": (BROKER, 6650),
    "activemq-classic": (BROKER, 61616),
    "prometheus": (HTTP, 9090),
    "alertmanager": (HTTP, 9093),
    "pushgateway": (HTTP, 9091),
    "blackbox-exporter": (HTTP, 9115),
    "node-exporter": (HTTP, 9100),
    "grafana": (HTTP, 3000),
    "loki": (HTTP, 3100),
    "tempo": (HTTP, 3200),
    "jaeger": (HTTP, 16686),
    "nginx": (HTTP, 80),
    "httpd": (HTTP, 80),
    "caddy": (HTTP, 80),
    "traefik": (HTTP, 80),
    "wordpress": (HTTP, 80),
}

_GRPC_PORTS = (4317, 50051)
# Ports that mean one protocol wherever they stand.
_PORTS = {port: kind for kind, port in (*SCHEMES.values(), *IMAGES.values()) if port and kind in (STORE, BROKER)} | {
    9000: None,
    2379: STORE,
}
_IMAGE_NAME = re.compile(r"(?:.*/)?(?P<name>[^/:@]+)(?::[^/]*)?(?:@.*)?")


def by_scheme(scheme: str | None) -> tuple[EdgeKind, int | None] | None:
    """`postgresql+asyncpg`, `jdbc:mysql` and their like, too."""
    parts = re.split(r"[+:]", scheme.lower()) if scheme else []
    return next((SCHEMES[part] for part in parts if part in SCHEMES), None)


def by_image(service: Service) -> tuple[EdgeKind, int] | None:
    return IMAGES.get(image_name(service))


def image_name(service: Service) -> str:
    """The last part of the image's name, without its tag; empty where there is none."""
    # mcr.microsoft.com/mssql/server
    if "mssql/" in (service.image or ""):
        return "mssql"
    match = _IMAGE_NAME.fullmatch(service.image or "")
    return match["name"] if match else ""


def only_port(service: Service) -> int | None:
    """The one container port that the file names, or the one that a well-known image has."""
    if len(service.ports) == 1:
        return service.ports[0]
    image = by_image(service)
    return image[1] if image and (not service.ports or image[1] in service.ports) else None


def kind(provider: Service, port: int | None, scheme: str | None, keys: tuple[str, ...]) -> EdgeKind:
    """What is spoken with `provider`; tcp where nothing says more."""
    if port in _GRPC_PORTS or any("GRPC" in words(key) for key in keys):
        return GRPC
    if found := by_scheme(scheme):
        return found[0]
    if (image := by_image(provider)) and port in (None, image[1]):
        return image[0]
    if known := _PORTS.get(port or 0):
        return known
    return HTTP if _answers_http(provider) else TCP


def _answers_http(provider: Service) -> bool:
    test = " ".join(provider.health.test) if provider.health else ""
    return provider.metrics_path is not None or bool(re.search(r"https?://|\bcurl\b|\bwget\b", test))
