"""Reads compose files as Docker does, and gives the catalogue or everything that is wrong."""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from gameday.catalogue import consistency, document, edges, envfile, extension, project
from gameday.catalogue.document import Map, Mark, at, entries
from gameday.catalogue.edges import Stated
from gameday.catalogue.extension import ServiceKeys, SystemKeys, TimerKeys
from gameday.catalogue.merge import merge
from gameday.catalogue.model import Catalogue, Telemetry, Timer, Waiver
from gameday.catalogue.project import Project
from gameday.catalogue.services import Reader, links
from gameday.errors import InputError, Problem

_DEFAULT_FILES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
_OVERRIDES = (
    "compose.override.yaml",
    "compose.override.yml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)


def find(start: Path, environment: Mapping[str, str] | None = None) -> list[Path]:
    """The files that Docker would take: COMPOSE_FILE, else a default name here or above, and its override.

    Empty where there is none.
    """
    start = start.resolve()
    if named := ChainMap(dict(environment or {}), _dotenv(start, environment or {}, [])).get("COMPOSE_FILE"):
        separator = (environment or {}).get("COMPOSE_PATH_SEPARATOR", ":")
        return [(start / each).resolve() for each in named.split(separator)]
    for directory in (start, *start.parents):
        for name in _DEFAULT_FILES:
            if (directory / name).is_file():
                override = (directory / each for each in _OVERRIDES)
                return [directory / name, *[each for each in override if each.is_file()][:1]]
    return []


def load(
    files: Sequence[Path],
    *,
    environment: Mapping[str, str],
    profiles: Sequence[str] = (),
    time_scale: float = 1.0,
    overrides: Mapping[str, str] | None = None,
    scale: Mapping[str, int] | None = None,
) -> Catalogue:
    """The catalogue of `files`, the first of which says where relative paths start.

    A variable is taken from `overrides`, else from `environment`, `.env`, the timers
    of x-gameday divided by `time_scale`. `scale` says how many replicas a service
    has, whatever the files say. Raises InputError with all problems.
    """
    if not files:
        raise InputError(Problem(f"no compose file in {Path.cwd()} or above", "name one with -f FILE"))
    paths = [file.resolve() for file in files]
    directory = paths[0].parent
    problems: list[Problem] = []
    variables: Mapping[str, str] = ChainMap(
        dict(overrides or {}),
        dict(environment),
        _dotenv(directory, environment, problems),
        _timer_variables(paths, time_scale),
    )
    read = project.read(paths, directory, variables)
    read.problems[:0] = problems
    wanted = {*profiles, *filter(None, variables.get("COMPOSE_PROFILES", "").split(","))}
    return _Assembly(read, paths, directory, variables, wanted, scale=scale or {}).catalogue()


def _dotenv(directory: Path, environment: Mapping[str, str], problems: list[Problem]) -> dict[str, str]:
    file = directory / ".env"
    if not file.is_file():
        return {}
    try:
        return envfile.read(file, environment)
    except InputError as error:
        problems += error.problems
        return {}


def _timer_variables(files: Sequence[Path], scale: float) -> dict[str, str]:
    """The timers as interpolation variables. What is wrong with them is told when the file is checked."""
    found = Map()
    for file in files:
        try:
            for each in document.read(file):
                found = merge(found, each)
        except InputError:
            return {}
    keys, _ = extension.parse(SystemKeys, found.get(extension.KEY), [], Mark(files[0], 1, 1))
    return {name: _plain(_timer(timer).scaled(scale)) for name, timer in keys.timers.items()}


def _timer(keys: TimerKeys) -> Timer:
    return Timer(keys.value, keys.floor)


def _plain(value: float) -> str:
    """Without an exponent and trailing zeros: 30, 0.5."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


class _Assembly:
    """From a merged document to a catalogue, collecting problems on the way."""

    def __init__(
        self,
        read: Project,
        files: Sequence[Path],
        directory: Path,
        variables: Mapping[str, str],
        profiles: set[str],
        *,
        scale: Mapping[str, int],
    ) -> None:
        self.read = read
        self.files = files
        self.directory = directory
        self.variables = variables
        self.profiles = profiles
        self.scale = scale
        self.start = Mark(files[0], 1, 1)
        self.sources = Map()
        self.inactive: dict[str, tuple[str, ...]] = {}

    def catalogue(self) -> Catalogue:
        self.choose()
        keys = {name: self.service_keys(name) for name in self.sources}
        system = self.keys(SystemKeys, self.read.document, [])
        readers = {name: self.reader(name) for name in self.sources}
        services = {name: reader.service(keys[name]) for name, reader in readers.items()}
        view = consistency.View(
            self.read.document, self.sources, self.inactive, readers, services, system, keys, self.scale
        )
        self.read.problems += [*consistency.problems(view, self.start)]
        if self.read.problems:
            raise InputError(_in_order(self.read.problems))
        names = {name: self.names(name) for name in services}
        return Catalogue(
            files=tuple(self.files),
            directory=self.directory,
            name=self.name(),
            services=services,
            edges=edges.build(services, names, self.stated(readers, keys), keys),
            timers={name: _timer(timer) for name, timer in system.timers.items()},
            telemetry=self.telemetry(system),
            preload=system.preload,
            routes=system.routes,
            entry=system.entry,
            waivers=tuple(Waiver(**each.model_dump()) for each in system.waivers),
            extension=self.read.document.get(extension.KEY) or {},
            names=names,
        )

    def choose(self) -> None:
        """Sorts the services into those that run and those whose profile is off."""
        listed = self.read.document.get("services")
        if not isinstance(listed, Map) or not listed:
            if not self.read.problems:
                self.read.problems.append(at(self.start, "no services", "add `services:`", ["services"]))
            return
        for name, source, mark in entries(listed):
            if not isinstance(source, Map):
                continue
            profiles = tuple(map(str, source.get("profiles") or ()))
            if profiles and "*" not in self.profiles and self.profiles.isdisjoint(profiles):
                self.inactive[name] = profiles
            else:
                self.sources.put(name, source, mark)

    def reader(self, name: str) -> Reader:
        """Reads what of a service is well formed: the keys about which there is a problem already are left out."""
        usable = Map()
        faulty = self.faulty(name)
        for key, value, mark in entries(self.sources[name]):
            if key not in faulty:
                usable.put(key, value, mark)
        mark = self.sources.marks[name]
        return Reader(self.read, self.variables, name, usable, mark, scale=self.scale.get(name))

    def faulty(self, name: str) -> set[str]:
        prefix = f"services.{name}."
        keys = (each.key or "" for each in self.read.problems)
        return {key.removeprefix(prefix).partition(".")[0] for key in keys if key.startswith(prefix)}

    def service_keys(self, name: str) -> ServiceKeys:
        return self.keys(ServiceKeys, self.sources[name], ["services", name])

    def keys(self, model: type[extension.Keys], source: Map, path: list[str | int]) -> extension.Keys:
        mark = source.marks.get(extension.KEY, self.start)
        found, problems = extension.parse(model, source.get(extension.KEY), [*path, extension.KEY], mark)
        self.read.problems += problems
        return found

    def name(self) -> str:
        written = self.read.document.get("name")
        name = self.variables.get("COMPOSE_PROJECT_NAME") or written or self.directory.name
        return re.sub(r"[^a-z0-9_-]", "", str(name).lower()).lstrip("_-") or "default"

    def telemetry(self, system: SystemKeys) -> Telemetry:
        keys = system.telemetry
        slos = (self.directory / keys.slos).resolve() if keys.slos else None
        return Telemetry(keys.prometheus, keys.alertmanager, keys.webhook, keys.rules, slos, keys.traces)

    def names(self, consumer: str) -> dict[str, str]:
        """Host name -> service as `consumer` resolves it; a service's own name wins over any alias."""
        aliases: dict[str, str] = {}
        for name, source in self.sources.items():
            for alias in _aliases(source):
                aliases.setdefault(alias.lower(), name)
        for provider, alias, _ in links(self.sources[consumer]):
            aliases[alias.lower()] = provider
        return aliases | {name.lower(): name for name in self.sources}

    def stated(self, readers: Mapping[str, Reader], keys: Mapping[str, ServiceKeys]) -> Iterator[Stated]:
        for name, reader in readers.items():
            providers = [provider for provider, *_ in reader.dependencies()]
            providers += [provider for provider, *_ in links(reader.source)]
            providers += [*keys[name].on_loss, *keys[name].kind, *keys[name].streams]
            for provider in dict.fromkeys(providers):
                # What is not required may be missing.
                if provider in self.sources and provider != name:
                    yield Stated(name, provider)


def _aliases(source: Map) -> Iterator[str]:
    """Other names under which Docker's DNS knows a service."""
    networks = source.get("networks")
    for network in networks.values() if isinstance(networks, Map) else ():
        if isinstance(network, Map):
            yield from map(str, network.get("aliases") or ())
    yield from (str(source[key]) for key in ("container_name", "hostname") if source.get(key))


def _in_order(problems: Sequence[Problem]) -> list[Problem]:
    """By file and line, each once."""
    unique = list({(each.file, each.line, each.key, each.message): each for each in problems}.values())
    return sorted(unique, key=lambda each: (str(each.file), each.line or 0, each.column or 0))
