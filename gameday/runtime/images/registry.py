"""Image name -> local server."""

from __future__ import annotations

from collections.abc import Mapping

from gameday.catalogue import Service
from gameday.errors import Problem
from gameday.runtime.images import LocalServer, alertmanager, blackbox, jaeger, postgres, prometheus, rabbitmq, redis

SERVERS: Mapping[str, LocalServer] = {
    "postgres": postgres,
    "pgvector/pgvector": postgres,
    "ankane/pgvector": postgres,
    "redis": redis,
    "valkey/valkey": redis,
    "rabbitmq": rabbitmq,
    "prom/prometheus": prometheus,
    "prom/alertmanager": alertmanager,
    "prom/blackbox-exporter": blackbox,
    "jaegertracing/jaeger": jaeger,
    "jaegertracing/all-in-one": jaeger,
}


def find(image: str) -> LocalServer | None:
    """By the image's name without registry, tag and digest."""
    name = image.split("@", maxsplit=1)[0]
    if ":" in name.rpartition("/")[2]:
        name = name.rpartition(":")[0]
    for registry in ("docker.io/", "index.docker.io/", "quay.io/", "library/"):
        name = name.removeprefix(registry)
    # prom/prometheus is prometheus/prometheus on quay.io.
    return SERVERS.get(name.replace("prometheus/", "prom/", 1) if name.startswith("prometheus/") else name)


def problem(service: Service) -> Problem | None:
    """Why the image of `service` has no local server here; None where it has one, or runs a command instead."""
    if service.build is not None or service.process_command is not None:
        return None
    server = find(service.image or "")
    missing = server.missing() if server else "give it a command of this machine under x-gameday: command"
    if missing is None:
        return None
    lacks = "is not installed" if server else "does not exist"
    return Problem(
        f"{service.name}: the local server for the image {service.image} {lacks}",
        mend=missing,
        file=service.location.file,
        line=service.location.line,
        key=f"services.{service.name}.image",
        value=service.image,
    )
