"""How a catalogue is run. One Protocol; each runtime is a small module of its own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from gameday.catalogue import Catalogue, Edge
from gameday.errors import GamedayError


class State(StrEnum):
    PENDING = "pending"
    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    EXITED = "exited"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Endpoint:
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class ProcessId:
    """A process for certain: a pid alone is reused, and all are gone after a boot.

    `start` is the start time in clock ticks since boot (field 22 of /proc/PID/stat).
    """

    pid: int
    start: int
    boot: str


@dataclass(frozen=True)
class ServiceStatus:
    """`name` is the replica's where a service has several: `web-2`.

    `detail` says why it is not healthy; `pss_mb` is the memory of its whole tree in MiB, None where nobody asked.
    """

    name: str
    state: State
    endpoints: Mapping[int, Endpoint] = field(default_factory=dict)
    pid: int | None = None
    pss_mb: float | None = None
    exit_code: int | None = None
    detail: str = ""


@dataclass(frozen=True)
class Counters:
    """What a wire saw since it was opened; all but `unanswered` only grow.

    connections  accepted from the consumer
    requests     connections, each with its first request, plus whatever a consumer sent after the provider had spoken
    attempts     connections plus every chunk that a consumer sent on an open one
    refused      attempts for which the provider could not be reached or hung up
    met          chunks and connections, of either side, that a toxic touched; of a toxic of HTTP: requests
    unanswered   attempts of which the provider knows and that got no byte back yet,
                 also after the consumer gave up; what a toxic swallowed is not among them
    bytes_up, bytes_down   received from the consumer and from the provider

    Of one of several upstreams there are `refused` and `unanswered` alone. What one refused
    and another took is refused by the first and not refused in all.
    """

    connections: int = 0
    requests: int = 0
    attempts: int = 0
    refused: int = 0
    met: int = 0
    unanswered: int = 0
    bytes_up: int = 0
    bytes_down: int = 0


@dataclass(frozen=True)
class Toxic:
    """A way to misbehave under Toxiproxy's names: `kind` is its type.

    `ttl` in real seconds: the proxy takes the toxic away by itself after that.
    """

    name: str
    kind: str
    attributes: Mapping[str, Any]
    stream: str = "downstream"
    toxicity: float = 1.0
    ttl: float = 60.0


class Wire(Protocol):
    """An edge that runs through a proxy of ours, to each replica of its provider in turn."""

    edge: Edge
    listen: Endpoint
    upstreams: Sequence[Endpoint]

    async def counters(self, upstream: Endpoint | None = None) -> Counters:
        """Of all, or of one of `upstreams`."""

    async def toxics(self) -> Sequence[Toxic]: ...

    async def add(self, toxic: Toxic) -> None: ...

    async def remove(self, name: str) -> None:
        """Idempotent: removing what is not there is no error."""


class NotReady(GamedayError):
    """A service did not become healthy. The message holds its last log lines."""


class Runtime(Protocol):
    """`service` is a name of the catalogue, or that of a replica (`web-2`) where a service has several."""

    name: str
    catalogue: Catalogue

    async def start(self, services: Collection[str] | None = None) -> None:
        """Starts `services` and what they depend on (None: all), in dependency order."""

    async def wait_ready(self, timeout: float) -> None:
        """Returns when every started service is healthy. Raises NotReady."""

    async def stop(self) -> None:
        """Ends everything. Idempotent; no process is left."""

    async def restart(self, service: str) -> None:
        """Ends what is left of `service`, starts it on the same port, waits until healthy.

        Replicas one after another.
        """

    async def list(self, *, memory: bool = False) -> Sequence[ServiceStatus]:
        """Every replica of every service. Measuring `memory` may take seconds: not for who asks often."""

    def endpoint(self, service: str, port: int | None = None) -> Endpoint:
        """Where the service itself listens, past any proxy. None: its first port.

        Of a service with several replicas: where it is carried to each of them in turn.
        """

    def processes(self, service: str) -> Sequence[ProcessId]:
        """Every living process of the service's tree, its replicas included."""

    def wire(self, edge: Edge) -> Wire | None:
        """The proxy of `edge`; None where it is not wired."""

    def logs(self, service: str) -> Path:
        """Each replica writes its own."""
