"""Where everything of a catalogue lies on this machine: ports, directories, rewritten values."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from gameday.catalogue import Catalogue, Service, edges
from gameday.runtime import Endpoint, addresses, ports
from gameday.runtime.images.registry import find
from gameday.state import State

_LOCAL_PORT = re.compile(r"(?:localhost|127\.0\.0\.1):(\d+)")
_PATH_OPTION = re.compile(r"(--?[\w.-]*(?:file|path|dir)=)(/.*)")
# A configuration file is text and small; anything else is mounted as it is.
_LARGEST_CONFIG = 1 << 20


class Layout:
    """Allots the ports of `services` at once. Raises InputError naming the published ports in use.

    Of a service with several replicas each has ports of its own, and the service has
    those from which its replicas are reached in turn. `further` are more `host:port`
    names and what stands for them in configuration files: gameday's own webhook.
    """

    def __init__(
        self, catalogue: Catalogue, services: Collection[str], state: State, further: Mapping[str, str] | None = None
    ) -> None:
        self._catalogue = catalogue
        self._state = state
        wanted = dict(_container_ports(catalogue, services))
        self.endpoints = ports.allot(wanted, catalogue.services, state.directory)
        self._mounted: dict[str, dict[str, Path]] = {}
        self._addresses = dict(further or {}) | {
            f"{name}:{port}": str(endpoint) for name, own in self.endpoints.items() for port, endpoint in own.items()
        }
        self._scraped = dict(self._replicas(services))

    def _replicas(self, services: Collection[str]) -> Iterator[tuple[str, list[str]]]:
        """Address of a service with several replicas -> the addresses of these, all as compose would write them."""
        for name in services:
            each = self._catalogue.services[name].each()
            if len(each) > 1:
                for port in self.endpoints[name]:
                    yield f"{name}:{port}", [f"{one.replica}:{port}" for one in each]

    def environment(self, service: Service, provider: Callable[[str, int | None], Endpoint | None]) -> dict[str, str]:
        """Providers at the `Endpoint` that `provider(service, port)` gives, own ports and paths as they are here."""

        def address(name: str, port: int | None) -> tuple[str, int] | None:
            found = provider(name, port)
            return (found.host, found.port) if found else None

        named = edges.rewritten(self._catalogue, service.name, address)
        # A value that names a provider says nothing of where the service itself listens.
        untouched = {key: value for key, value in named.items() if value == service.environment[key]}
        values = named | addresses.own(untouched, self.endpoints[service.replica])
        return {key: addresses.paths(value, self.mounts(service)) for key, value in values.items()}

    def arguments(self, service: Service) -> list[str]:
        """The command for this machine, its program first; empty where an image's default is to run."""
        mounts = self.mounts(service)
        if runs_image(service):
            return [self._inside(argument, service) for argument in service.command or ()]
        argv = [addresses.paths(argument, mounts) for argument in command(service)]
        argv = addresses.arguments(argv, self.endpoints[service.replica])
        return [sys.executable, *argv[1:]] if argv[0] in ("python", "python3") else argv

    def _inside(self, argument: str, service: Service) -> str:
        """An argument of an image: a path in it is one of the container, mounted or not."""
        mounted = addresses.paths(argument, self.mounts(service))
        unmounted = _PATH_OPTION.fullmatch(argument)
        if mounted != argument or unmounted is None:
            return mounted
        return f"{unmounted[1]}{self.path(service)(unmounted[2])}"

    def directory(self, service: Service) -> Path:
        """Where its command runs: what is mounted at its working directory, else its build context."""
        mounted = self.mounts(service).get((service.working_dir or "").rstrip("/"))
        return mounted or service.build or self._catalogue.directory

    def health(self, service: Service) -> list[str]:
        test = service.health.test if service.health else ()
        return addresses.health(test, service.name, self.endpoints[service.replica])

    def path(self, service: Service) -> Callable[[str], Path]:
        """Container path -> path here: below a mount, or else below a directory of the service's own."""
        mounts = self.mounts(service)
        home = self.home(service)

        def find_path(container: str) -> Path:
            mapped = addresses.paths(container, mounts)
            return Path(mapped) if mapped != container else home / container.lstrip("/")

        return find_path

    def home(self, service: Service) -> Path:
        home = self._state.volumes / f"{service.replica}.home"
        home.mkdir(parents=True, exist_ok=True)
        return home

    def mounts(self, service: Service) -> dict[str, Path]:
        """Container path -> directory or file here, for each volume. Configuration is copied once."""
        if service.replica not in self._mounted:
            self._mounted[service.replica] = {target.rstrip("/"): path for target, path in self._mounts(service)}
        return self._mounted[service.replica]

    def refresh(self, service: Service) -> None:
        """Configuration is read again at the next asking."""
        self._mounted.pop(service.replica, None)

    def _mounts(self, service: Service) -> Iterator[tuple[str, Path]]:
        for volume in service.volumes:
            if volume.kind != "bind":
                # An anonymous volume is named by its service and its place.
                name = volume.source or f"{service.replica}{volume.target.replace('/', '-')}"
                directory = self._state.volumes / name
                directory.mkdir(parents=True, exist_ok=True)
                yield volume.target, directory
            elif volume.source and Path(volume.source).exists():
                source = Path(volume.source)
                copied = runs_image(service) and (volume.read_only or source.is_file())
                yield volume.target, self._rewritten(service, volume.target, source) if copied else source

    def _rewritten(self, service: Service, target: str, source: Path) -> Path:
        """A copy of the configuration `source` in which every address is the one of this machine."""
        copy = self._state.config / service.replica / target.strip("/").replace("/", "-")
        files = [path for path in sorted(source.rglob("*")) if path.is_file()] if source.is_dir() else [source]
        for file in files:
            to = copy / file.relative_to(source) if source.is_dir() else copy
            to.parent.mkdir(parents=True, exist_ok=True)
            self._copy(file, to)
        return copy

    def _copy(self, file: Path, to: Path) -> None:
        content = file.read_bytes()
        try:
            if len(content) <= _LARGEST_CONFIG:
                listed = addresses.targets(content.decode(), self._scraped)
                content = addresses.text(listed, self._addresses).encode()
        except UnicodeDecodeError:
            pass
        to.unlink(missing_ok=True)
        to.write_bytes(content)
        shutil.copymode(file, to)


def runs_image(service: Service) -> bool:
    """A local server stands in for its image; else a command runs."""
    return service.build is None and service.process_command is None


def command(service: Service) -> list[str]:
    """What compose says is to run on this machine, as written."""
    if service.process_command is not None:
        return list(service.process_command)
    return [*(service.entrypoint or ()), *(service.command or ())]


def _container_ports(catalogue: Catalogue, services: Collection[str]) -> Iterator[tuple[str, tuple[int, ...]]]:
    for name in services:
        service = catalogue.services[name]
        ports_of_each = container_ports(catalogue, service)
        yield name, ports_of_each
        for one in service.each():
            yield one.replica, ports_of_each


def container_ports(catalogue: Catalogue, service: Service) -> tuple[int, ...]:
    """Every port that `service` listens on, as compose, its consumers, its health check or its image tell."""
    server = find(service.image or "") if runs_image(service) else None
    own_port = service.environment.get("PORT", "")
    test = " ".join(service.health.test) if service.health else ""
    found = [
        *service.ports,
        *(server.PORTS if server else ()),
        *(edge.port for edge in catalogue.consumers(service.name) if edge.port is not None),
        *map(int, _LOCAL_PORT.findall(test)),
        *([int(own_port)] if own_port.isdigit() else ()),
    ]
    return tuple(dict.fromkeys(found))
