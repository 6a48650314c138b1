"""What a compose file says, as plain data: services and the edges between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any


class EdgeKind(StrEnum):
    HTTP = "http"
    GRPC = "grpc"
    WEBSOCKET = "websocket"
    STORE = "store"
    BROKER = "broker"
    MESSAGE = "message"
    TCP = "tcp"


class Evidence(StrEnum):
    """How gameday knows of an edge."""

    DECLARED = "declared"
    STATED = "stated"
    OBSERVED = "observed"


class OnLoss(StrEnum):
    """What users see when the provider of an edge is gone."""

    FALLBACK = "fallback"
    CLEAN_ERROR = "clean-error"
    QUEUED = "queued"


@dataclass(frozen=True)
class Location:
    file: Path
    line: int


@dataclass(frozen=True, order=True)
class Edge:
    """consumer -> provider over one endpoint.

    `port` is the provider's container port, None where nothing says which.
    `env` names the consumer's environment keys that declare the edge. What is `streamed`
    reaches users as it comes, so that nobody waits for the end of it.
    """

    consumer: str
    provider: str
    port: int | None
    kind: EdgeKind = field(compare=False)
    evidence: tuple[Evidence, ...] = field(compare=False)
    env: tuple[str, ...] = field(default=(), compare=False)
    on_loss: OnLoss | None = field(default=None, compare=False)
    streamed: bool = field(default=False, compare=False)

    @property
    def name(self) -> str:
        return f"{self.consumer}->{self.provider}"


@dataclass(frozen=True)
class HealthCheck:
    """A compose health check. Times in seconds."""

    test: tuple[str, ...]
    interval: float = 30.0
    timeout: float = 30.0
    retries: int = 3
    start_period: float = 0.0


@dataclass(frozen=True)
class Published:
    """`host` is None where compose leaves the choice of the host's port open.

    `ip` is the host's address to publish on, empty for every address.
    """

    target: int
    host: int | None
    protocol: str = "tcp"
    location: Location | None = None
    ip: str = ""


@dataclass(frozen=True)
class Volume:
    """`source` is an absolute path for a bind, a name for a volume, None for an anonymous one."""

    kind: str
    source: str | None
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class ProviderStates:
    """How a contract's verification puts an instance of a service into a state: by a POST to `path`.

    A POST to `messages` has it make a message that it publishes. The paths are there
    only where `environment` is added to the service's own.
    """

    path: str
    messages: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Service:
    """`environment` is complete: env_file, `.env` and defaults are resolved.

    `sources` are paths of what it is built of, relative to the project; none: all of its build context.
    `consumes` are the events of which it takes messages, from a queue each: `<service>.<event>`.
    `loads` are the models that it holds in memory; `written` says where each environment key stands.
    `number` says which of several replicas it is; None in a catalogue, and where there is only one.
    """

    name: str
    location: Location
    image: str | None = None
    build: Path | None = None
    dockerfile: str | None = None
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    working_dir: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    expose: tuple[int, ...] = ()
    published: tuple[Published, ...] = ()
    depends_on: Mapping[str, str] = field(default_factory=dict)
    health: HealthCheck | None = None
    volumes: tuple[Volume, ...] = ()
    replicas: int = 1
    stop_grace: float = 10.0
    process_command: tuple[str, ...] | None = None
    metrics_path: str | None = None
    provider_states: ProviderStates | None = None
    sources: tuple[str, ...] = ()
    consumes: tuple[str, ...] = ()
    loads: tuple[str, ...] = ()
    written: Mapping[str, Location] = field(default_factory=dict, compare=False)
    number: int | None = None

    @property
    def replica(self) -> str:
        """What this one replica is called, everywhere: `web-2`, as Docker Compose does."""
        return self.name if self.number is None else f"{self.name}-{self.number}"

    def each(self) -> tuple[Service, ...]:
        """Every replica by itself; the service alone where there is one."""
        if self.replicas == 1:
            return (self,)
        return tuple(replace(self, number=number) for number in range(1, self.replicas + 1))

    @property
    def ports(self) -> tuple[int, ...]:
        """Every container port that compose names, exposed before published."""
        return tuple(dict.fromkeys((*self.expose, *(published.target for published in self.published))))


@dataclass(frozen=True)
class Timer:
    """A timer in seconds of production, never scaled below `floor`."""

    value: float
    floor: float

    def scaled(self, factor: float) -> float:
        return max(self.value / factor, min(self.floor, self.value))


@dataclass(frozen=True)
class Waiver:
    """Until the day `until`, `owner` answers for what the rule `lint` of `gameday lint` finds of `subject`."""

    lint: str
    subject: str
    reason: str
    owner: str
    until: date


@dataclass(frozen=True)
class Telemetry:
    """Which services of the catalogue hold what was seen; None where there is none.

    `webhook` is the `host:port` at which the Alertmanager of the system reaches
    gameday; `rules` the interpolation variable that names the directory of the
    generated Prometheus and Alertmanager files; `slos` the SLO file they come from;
    `traces` speaks Jaeger's query API.
    """

    prometheus: str | None = None
    alertmanager: str | None = None
    webhook: str | None = None
    rules: str | None = None
    slos: Path | None = None
    traces: str | None = None


@dataclass(frozen=True)
class Catalogue:
    """`extension` is what stands under the top-level `x-gameday`, as written.

    `names` says for each consumer which host name (lower case) is which service.
    """

    files: tuple[Path, ...]
    directory: Path
    name: str
    services: Mapping[str, Service]
    edges: tuple[Edge, ...]
    timers: Mapping[str, Timer] = field(default_factory=dict)
    telemetry: Telemetry = field(default_factory=Telemetry)
    preload: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    entry: str | None = None
    waivers: tuple[Waiver, ...] = ()
    extension: Mapping[str, Any] = field(default_factory=dict)
    names: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def consumers(self, provider: str) -> Iterator[Edge]:
        return (edge for edge in self.edges if edge.provider == provider)

    @property
    def queues(self) -> frozenset[str]:
        """Where messages wait for their consumers: `<service>.<event>`."""
        return frozenset(f"{each.name}.{event}" for each in self.services.values() for event in each.consumes)

    def replicas(self, name: str) -> tuple[Service, ...]:
        """All that `web` or the one that `web-2` names. Raises KeyError where there is none of that name."""
        if name in self.services:
            return self.services[name].each()
        found = tuple(one for one in self.service(name).each() if one.replica == name)
        if not found:
            raise KeyError(name)
        return found

    def service(self, name: str) -> Service:
        """The service of that name, or of which it would be a replica. Raises KeyError."""
        return self.services[name if name in self.services else name.rpartition("-")[0]]

    def sources(self, service: Service) -> tuple[Path, ...]:
        """The paths that hold what the service is built of; none for one that is a ready-made image."""
        told = tuple(self.directory / source for source in service.sources)
        return told or ((service.build,) if service.build else ())

    def find(self, name: str) -> tuple[Edge, ...]:
        """The edges called `consumer->provider` or `consumer->provider:port`."""
        return tuple(edge for edge in self.edges if name in (edge.name, f"{edge.name}:{edge.port}"))
