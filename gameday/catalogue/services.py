"""One service of a merged compose document as the model has it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gameday.catalogue import envfile
from gameday.catalogue.document import Map, Mark, Seq, at, entries, items, text_of
from gameday.catalogue.extension import ServiceKeys
from gameday.catalogue.model import HealthCheck, Location, ProviderStates, Published, Service, Volume
from gameday.catalogue.project import Project
from gameday.durations import seconds
from gameday.errors import InputError

MAX_PORT = 65535

_PORT = re.compile(
    r"(?:(?P<ip>\[[0-9a-fA-F:.]+\]|[^:\[\]]*):)?(?:(?P<host>[\d-]*):)?(?P<target>[\d-]+)(?:/(?P<protocol>\w+))?"
)
# `c:\x`, or `c:/x:/y`; but `v:/x` is a volume called v.
_WINDOWS_DRIVE = re.compile(r"[A-Za-z]:(?:\\|/[^:]*:/)")
_VOLUME_MODES = {"ro", "rw", "z", "Z", "cached", "delegated", "consistent", "nocopy"}


class Reader:
    """Turns one service's mapping into a Service; what is wrong goes to the project's problems."""

    def __init__(
        self,
        project: Project,
        variables: Mapping[str, str],
        name: str,
        source: Map,
        mark: Mark,
        *,
        scale: int | None = None,
    ) -> None:
        """`scale`: the replicas that a command asked for, whatever the file says."""
        self.project = project
        self.variables = variables
        self.name = name
        self.source = source
        self.here = mark
        self.scale = scale

    def service(self, keys: ServiceKeys) -> Service:
        return Service(
            name=self.name,
            location=Location(self.here.file, self.here.line),
            image=self.source.get("image"),
            build=self.build(),
            dockerfile=self.dockerfile(),
            command=self.words("command"),
            entrypoint=self.words("entrypoint"),
            working_dir=self.source.get("working_dir"),
            environment=self.environment(),
            expose=tuple(dict.fromkeys(self.expose())),
            published=tuple(self.published()),
            depends_on=self.depends_on(),
            health=self.health(),
            volumes=self.volumes(),
            replicas=self.replicas(),
            stop_grace=self.duration(self.source, "stop_grace_period", 10.0),
            process_command=keys.command,
            metrics_path=keys.metrics,
            provider_states=_states(keys),
            sources=keys.sources,
            consumes=keys.consumes,
            loads=keys.loads,
            written=self.written(),
        )

    def complain(self, mark: Mark, message: str, mend: str, *path: str | int, value: Any = None) -> None:
        self.project.problems.append(at(mark, message, mend, ["services", self.name, *path], value))

    @contextmanager
    def complaining(self, mark: Mark, mend: str, *path: str | int, value: Any) -> Iterator[None]:
        """A ValueError inside becomes a problem, and the work goes on after the block."""
        try:
            yield
        except ValueError as error:
            self.complain(mark, str(error), mend, *path, value=value)

    def build(self) -> Path | None:
        build = self.source.get("build")
        if not isinstance(build, Map):
            return None
        context = build.get("context")
        mark = build.marks.get("context", self.source.marks["build"])
        return self.project.path(context if isinstance(context, str) else ".", mark)

    def dockerfile(self) -> str | None:
        """Which file of the build context, and which target of it, where the file says so."""
        build = self.source.get("build")
        told = (build.get("dockerfile"), build.get("target")) if isinstance(build, Map) else ()
        return ":".join(str(each) for each in told if each is not None) or None

    def words(self, key: str) -> tuple[str, ...] | None:
        value = self.source.get(key)
        if value is None:
            return None
        if isinstance(value, Seq):
            return tuple(map(text_of, value))
        with self.complaining(self.source.marks[key], "close the quotes", key, value=value):
            return tuple(shlex.split(value))
        return None

    def environment(self) -> dict[str, str]:
        """env_file first, then `environment`; a key without a value is passed through or left out."""
        result = self.env_files()
        listed = self.source.get("environment")
        for key, value, _ in entries(listed) if isinstance(listed, Map) else ():
            given = self.variables.get(key) if value is None else text_of(value)
            if given is None:
                result.pop(key, None)
            else:
                result[key] = given
        return result

    def written(self) -> dict[str, Location]:
        """Where the file itself says what an environment key is; nothing of what an env_file brings."""
        listed = self.source.get("environment")
        found = entries(listed) if isinstance(listed, Map) else ()
        return {key: Location(mark.file, mark.line) for key, _, mark in found}

    def env_files(self) -> dict[str, str]:
        result: dict[str, str] = {}
        listed = self.source.get("env_file")
        for index, (entry, mark) in enumerate(items(listed) if isinstance(listed, Seq) else ()):
            keys: Mapping[str, Any] = entry if isinstance(entry, Map) else {"path": entry}
            path = self.project.path(str(keys["path"]), mark)
            required = text_of(keys.get("required", True)).lower() != "false"
            if not path.is_file():
                if required:
                    mend = "create the file, or write {path: ..., required: false}"
                    self.complain(mark, f"no file {path}", mend, "env_file", index, value=keys["path"])
                continue
            try:
                result |= envfile.read(path, {**result, **self.variables}, raw=keys.get("format") == "raw")
            except InputError as error:
                self.project.problems += error.problems
        return result

    def expose(self) -> Iterator[int]:
        listed = self.source.get("expose")
        for index, (entry, mark) in enumerate(items(listed) if isinstance(listed, Seq) else ()):
            with self.complaining(mark, "write a port such as 3000", "expose", index, value=entry):
                yield from ports(text_of(entry).partition("/")[0])

    def published(self) -> Iterator[Published]:
        listed = self.source.get("ports")
        for index, (entry, mark) in enumerate(items(listed) if isinstance(listed, Seq) else ()):
            value = None if isinstance(entry, Map) else entry
            with self.complaining(mark, "write [HOST_IP:][HOST_PORT:]CONTAINER_PORT", "ports", index, value=value):
                yield from published(entry, Location(mark.file, mark.line))

    def depends_on(self) -> dict[str, str]:
        return {name: condition for name, condition, _, _ in self.dependencies()}

    def dependencies(self) -> Iterator[tuple[str, str, bool, Mark]]:
        """Every `depends_on`: provider, condition, whether it is required, where."""
        listed = self.source.get("depends_on")
        for name, entry, mark in entries(listed) if isinstance(listed, Map) else ():
            keys: Mapping[str, Any] = entry if isinstance(entry, Map) else {}
            required = text_of(keys.get("required", True)).lower() != "false"
            yield name, str(keys.get("condition", "service_started")), required, mark

    def health(self) -> HealthCheck | None:
        check = self.source.get("healthcheck")
        if not isinstance(check, Map) or text_of(check.get("disable", False)).lower() == "true":
            return None
        test = self.test(check)
        if not test:
            return None
        return HealthCheck(
            test=test,
            interval=self.duration(check, "interval", 30.0, "healthcheck"),
            timeout=self.duration(check, "timeout", 30.0, "healthcheck"),
            retries=self.whole(check, "retries", 3, "healthcheck"),
            start_period=self.duration(check, "start_period", 0.0, "healthcheck"),
        )

    def test(self, check: Map) -> tuple[str, ...]:
        test = check.get("test")
        if isinstance(test, str):
            return ("CMD-SHELL", test) if test else ()
        if not isinstance(test, Seq) or not test or test[0] == "NONE":
            return ()
        if test[0] not in ("CMD", "CMD-SHELL"):
            mend = "begin it with NONE, CMD or CMD-SHELL"
            mark = check.marks["test"]
            self.complain(mark, "a health check begins with how it is run", mend, "healthcheck", "test", value=test[0])
            return ()
        return tuple(map(text_of, test))

    def volumes(self) -> tuple[Volume, ...]:
        """By target: a later file's mount takes the place of an earlier one."""
        listed = self.source.get("volumes")
        found = (self.volume(entry, mark) for entry, mark in (items(listed) if isinstance(listed, Seq) else ()))
        return tuple({volume.target: volume for volume in found}.values())

    def volume(self, entry: Any, mark: Mark) -> Volume:
        if isinstance(entry, Map):
            kind, source = str(entry.get("type", "volume")), entry.get("source")
            target, read_only = str(entry.get("target", "")), text_of(entry.get("read_only", False)) == "true"
        else:
            source, target, read_only = _short_volume(text_of(entry))
            kind = "bind" if source is not None and _is_path(source) else "volume"
        if kind == "bind" and source is not None:
            source = str(self.project.path(str(source), mark))
        return Volume(kind, source, target, read_only)

    def replicas(self) -> int:
        if self.scale is not None:
            return self.scale
        deploy = self.source.get("deploy")
        if isinstance(deploy, Map) and deploy.get("replicas") is not None:
            return self.whole(deploy, "replicas", 1, "deploy")
        return self.whole(self.source, "scale", 1)

    def duration(self, source: Map, key: str, default: float, *path: str) -> float:
        value = source.get(key)
        if value is None:
            return default
        with self.complaining(source.marks[key], "write 5s or 1m30s", *path, key, value=value):
            return 0.0 if value == "0" else seconds(value)
        return default

    def whole(self, source: Map, key: str, default: int, *path: str) -> int:
        value = source.get(key)
        if value is None:
            return default
        with self.complaining(source.marks[key], "write a whole number", *path, key, value=value):
            return int(value)
        return default


def _states(keys: ServiceKeys) -> ProviderStates | None:
    states = keys.provider_states
    return ProviderStates(states.path, states.messages, states.environment) if states else None


def links(source: Map) -> Iterator[tuple[str, str, Mark]]:
    """Every `links` entry, SERVICE[:ALIAS]: service, alias, where."""
    listed = source.get("links")
    for entry, mark in items(listed) if isinstance(listed, Seq) else ():
        provider, _, alias = str(entry).partition(":")
        yield provider, alias or provider, mark


def ports(text: str) -> list[int]:
    """`3000` or `3000-3005`. Raises ValueError."""
    first, _, last = text.partition("-")
    if not first.isdecimal() or not (last or first).isdecimal():
        raise ValueError(f"{text!r} is no port")
    low, high = int(first), int(last or first)
    if not 0 < low <= high <= MAX_PORT:
        raise ValueError(f"{text!r} is no port between 1 and {MAX_PORT}")
    return list(range(low, high + 1))


def published(entry: Any, location: Location) -> Iterator[Published]:
    """A `ports` entry, short or long. Raises ValueError."""
    if isinstance(entry, Map):
        target, host = text_of(entry.get("target", "")), text_of(entry.get("published") or "")
        ip, protocol = str(entry.get("host_ip") or ""), str(entry.get("protocol") or "tcp")
    else:
        match = _PORT.fullmatch(text_of(entry))
        if not match:
            raise ValueError(f"{entry!r} is no port mapping")
        ip, host, target, protocol = _short_port(match)
    yield from _pairs(ports(target), ports(host) if host else [], ip, protocol, location)


def _short_port(match: re.Match[str]) -> tuple[str, str, str, str]:
    """ip, host, target, protocol: with one colon what stands before it is the host's port."""
    ip, host = match["ip"] or "", match["host"] or ""
    if match["host"] is None and ip:
        ip, host = "", ip
    return ip.strip("[]"), host, match["target"], (match["protocol"] or "tcp").lower()


def _pairs(targets: list[int], hosts: list[int], ip: str, protocol: str, location: Location) -> Iterator[Published]:
    if len(hosts) > 1 and len(targets) == 1:
        # A range for one port: the engine takes whichever is free.
        hosts = []
    if hosts and len(hosts) != len(targets):
        raise ValueError("the two ranges of ports differ in length")
    for index, target in enumerate(targets):
        yield Published(target, hosts[index] if hosts else None, protocol, location, ip)


def _short_volume(text: str) -> tuple[str | None, str, bool]:
    """source, target, read-only of `SOURCE:TARGET[:MODE]` or of a lone TARGET."""
    drive = text[:2] if _WINDOWS_DRIVE.match(text) else ""
    parts = text[len(drive) :].split(":")
    parts[0] = drive + parts[0]
    modes: set[str] = set()
    if len(parts) > 1 and set(parts[-1].split(",")) <= _VOLUME_MODES:
        modes = set(parts.pop().split(","))
    if len(parts) == 1:
        return None, parts[0], "ro" in modes
    return parts[0], ":".join(parts[1:]), "ro" in modes


def _is_path(source: str) -> bool:
    return source.startswith((".", "/", "~", "\\")) or source[1:2] == ":"
