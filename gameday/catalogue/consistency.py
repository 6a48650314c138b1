"""What one service alone cannot know: names that point nowhere, circles, ports claimed twice."""

from __future__ import annotations

import difflib
import graphlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gameday.catalogue import extension
from gameday.catalogue.document import Map, Mark, at, locate
from gameday.catalogue.extension import ServiceKeys, SystemKeys
from gameday.catalogue.model import Published, Service
from gameday.catalogue.services import Reader, links
from gameday.errors import Problem

_ANY_ADDRESS = ("", "0.0.0.0", "::")  # noqa: S104 - read, not bound


@dataclass(frozen=True)
class View:
    """A merged document and what was read of it. `sources` are the services that run, as written;
    `inactive` those whose profiles, which it names, are all off; `scale` are replicas that a command asked for."""

    document: Map
    sources: Map
    inactive: Mapping[str, tuple[str, ...]]
    readers: Mapping[str, Reader]
    services: Mapping[str, Service]
    system: SystemKeys
    keys: Mapping[str, ServiceKeys]
    scale: Mapping[str, int]


def problems(view: View, start: Mark) -> Iterator[Problem]:
    """Everything that does not fit together; `start` is where nothing says a better place."""
    yield from _images(view)
    yield from _dependencies(view)
    yield from _circles(view)
    yield from _ports(view)
    yield from _scale(view, start)
    yield from _replicas(view)
    yield from _resources(view)
    yield from _extension(view, start)


def _images(view: View) -> Iterator[Problem]:
    for name, reader in view.readers.items():
        # A key that was left out as faulty may be a misspelt image.
        whole = reader.source.keys() == view.sources[name].keys()
        if whole and not reader.source.keys() & {"image", "build", "provider"}:
            mark = view.sources.marks[name]
            yield at(mark, f"{name!r} has neither image nor build", "add one of them", ["services", name])


def _dependencies(view: View) -> Iterator[Problem]:
    for name, reader in view.readers.items():
        wanted = [("depends_on", *each) for each in reader.dependencies()]
        wanted += [("links", provider, "", True, mark) for provider, _, mark in links(reader.source)]
        for key, provider, _, required, mark in wanted:
            if required and provider not in view.sources:
                message = f"{name!r} needs {provider!r}, {_why_missing(view, provider)}"
                yield at(mark, message, _mend(view, provider), ["services", name, key, provider], provider)


def _why_missing(view: View, name: str) -> str:
    profiles = view.inactive.get(name)
    return f"whose profile {profiles[0]!r} is off" if profiles else "which is no service of the file"


def _mend(view: View, name: str) -> str:
    if profiles := view.inactive.get(name):
        return f"add --profile {profiles[0]}"
    near = difflib.get_close_matches(name, view.sources, n=1)
    return f"did you mean {near[0]!r}?" if near else f"name one of {', '.join(sorted(view.sources))}"


def _circles(view: View) -> Iterator[Problem]:
    graph = {name: list(service.depends_on) for name, service in view.services.items()}
    while circle := _circle(graph):
        name, provider = circle[0], circle[1]
        mark = view.readers[name].source["depends_on"].marks[provider]
        message = f"services wait for each other: {' -> '.join(circle)}"
        yield at(mark, message, "remove one of these dependencies", ["services", name, "depends_on", provider])
        graph[name].remove(provider)


def _circle(graph: Mapping[str, Sequence[str]]) -> list[str]:
    """One circle, its first service again at its end; empty where there is none."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(reversed(error.args[1]))
    return []


def _ports(view: View) -> Iterator[Problem]:
    taken: list[tuple[str, Published]] = []
    for name, service in view.services.items():
        for port in service.published:
            if port.host is None:
                continue
            if other := next((other for other, each in taken if _clash(each, port)), None):
                yield _claimed(name, port, other)
            taken.append((name, port))


def _clash(one: Published, other: Published) -> bool:
    same = (one.host, one.protocol) == (other.host, other.protocol)
    return same and (one.ip == other.ip or one.ip in _ANY_ADDRESS or other.ip in _ANY_ADDRESS)


def _claimed(name: str, port: Published, other: str) -> Problem:
    file, line = (port.location.file, port.location.line) if port.location else (None, None)
    message = f"{name!r} publishes port {port.host} {'twice' if name == other else f'as {other!r} does'}"
    return Problem(message, "give one of them another port", file, line, key=f"services.{name}.ports", value=port.host)


def _scale(view: View, start: Mark) -> Iterator[Problem]:
    for name, replicas in view.scale.items():
        if name not in view.sources:
            message = f"--scale {name}={replicas}: {name!r} is no service that runs"
            yield at(start, message, _mend(view, name), value=name)


def _replicas(view: View) -> Iterator[Problem]:
    """What several replicas cannot share: a port of the host, a container's name."""
    for name, service in view.services.items():
        if service.replicas < 0:
            yield at(view.sources.marks[name], f"{name!r} has {service.replicas} replicas", "write a number from 0 on")
        if service.replicas <= 1:
            continue
        for taken in (each.replica for each in service.each() if each.replica in view.services):
            message = f"a replica of {name!r} is called {taken!r}, as a service is"
            yield at(view.sources.marks[taken], message, "give the service another name", ["services", taken])
        for port in service.published:
            if port.host is not None:
                yield _fought_over(service, port)
        if own := view.readers[name].source.get("container_name"):
            mark = view.readers[name].source.marks["container_name"]
            message = f"{name!r} has {service.replicas} replicas and one container name"
            yield at(mark, message, "remove it", ["services", name, "container_name"], own)


def _fought_over(service: Service, port: Published) -> Problem:
    file, line = (port.location.file, port.location.line) if port.location else (None, None)
    message = f"{service.name!r} publishes port {port.host} and has {service.replicas} replicas: only one can have it"
    mend = f"publish `{port.target}` without a port of the host, or put a service with one replica before it"
    return Problem(message, mend, file, line, key=f"services.{service.name}.ports", value=port.host)


def _resources(view: View) -> Iterator[Problem]:
    """Volumes, networks, secrets and configs must be declared at the top."""
    for name, service in view.services.items():
        source = view.readers[name].source
        volumes = [volume.source for volume in service.volumes if volume.kind == "volume" and volume.source]
        used = {"volumes": volumes} | {key: _listed(source.get(key)) for key in ("networks", "secrets", "configs")}
        for section, wanted in used.items():
            declared = view.document.get(section)
            known = {"default", *(declared if isinstance(declared, Map) else ())}
            for each in wanted:
                if each not in known:
                    message = f"{name!r} uses {each!r} of {section}, which is not declared"
                    mend = f"add `{each}:` under the top-level {section}"
                    yield at(source.marks[section], message, mend, ["services", name, section], each)


def _listed(used: Any) -> list[str]:
    """What a service lists: names, or mappings with a `source`."""
    found = [each.get("source") if isinstance(each, Map) else each for each in used or ()]
    return [str(each) for each in found if each is not None]


def _extension(view: View, start: Mark) -> Iterator[Problem]:
    """Every service that x-gameday names must be one."""
    telemetry = view.system.telemetry
    named = {
        ("entry",): view.system.entry,
        ("telemetry", "prometheus"): telemetry.prometheus,
        ("telemetry", "alertmanager"): telemetry.alertmanager,
        ("telemetry", "traces"): telemetry.traces,
    }
    for named_at, service in named.items():
        yield from _named(view, view.document, (extension.KEY, *named_at), [], name=service, start=start)
    for consumer, keys in view.keys.items():
        inside: list[tuple[str, str | int, str]] = [("on-loss", name, name) for name in keys.on_loss]
        inside += [("kind", name, name) for name in keys.kind]
        inside += [("streams", index, name) for index, name in enumerate(keys.streams)]
        for key, place, name in inside:
            path = (extension.KEY, key, place)
            yield from _named(view, view.sources[consumer], path, ["services", consumer], name=name, start=start)


def _named(
    view: View, tree: Map, path: Sequence[str | int], prefix: Sequence[str | int], *, name: str | None, start: Mark
) -> Iterator[Problem]:
    if name is not None and name not in view.sources:
        mark = locate(tree, path, start)
        yield at(mark, f"{name!r} is no service that runs", _mend(view, name), [*prefix, *path], name)
