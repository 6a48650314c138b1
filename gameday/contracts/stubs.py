"""A service alone: its providers as their contracts promise them, its stores for real."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from gameday.catalogue import Catalogue, Edge, EdgeKind, Service
from gameday.contracts.coverage import Covered, coverage
from gameday.contracts.pacts import Pact
from gameday.errors import InputError, Problem
from gameday.tools.stub import MODULE


def stubbed(catalogue: Catalogue, services: Sequence[str], pacts: Sequence[Pact]) -> tuple[Catalogue, tuple[str, ...]]:
    """`catalogue` with a stub for each provider of an HTTP edge of `services`, and the names of these.

    Who provides by gRPC alone stays what it is: Pact's mock server does not speak it. Raises InputError for a provider
    that promised nothing.
    """
    wanted = [each for each in coverage(catalogue, pacts) if _wanted(each.edge, services)]
    problems = [_nothing(catalogue, each.edge) for each in wanted if each.pact is None]
    if problems:
        raise InputError(problems)
    by_provider: dict[str, list[Covered]] = {}
    for each in wanted:
        by_provider.setdefault(each.edge.provider, []).append(each)
    stubs = {name: _stub(catalogue.services[name], agreed) for name, agreed in by_provider.items()}
    edges = tuple(edge for edge in catalogue.edges if edge.consumer not in stubs)
    return replace(catalogue, services=dict(catalogue.services) | stubs, edges=edges), tuple(stubs)


def _wanted(edge: Edge, services: Collection[str]) -> bool:
    return edge.kind is EdgeKind.HTTP and edge.consumer in services and edge.provider not in services


def _nothing(catalogue: Catalogue, edge: Edge) -> Problem:
    mend = f"write a test of {edge.consumer} in contracts/ that agrees it, or start {edge.provider} too"
    return Problem(f"{edge.provider} promised {edge.consumer} nothing", mend, catalogue.files[0], value=edge.name)


def _stub(provider: Service, agreed: Sequence[Covered]) -> Service:
    """In the place of `provider`, at the ports at which its consumers ask for it."""
    ports = sorted({each.edge.port for each in agreed if each.edge.port})
    files = [str(each.pact.file) for each in agreed if each.pact]
    options = [word for port in ports for word in ("--port", str(port))]
    command = ("python", "-m", MODULE, *files, *options)
    return Service(provider.name, provider.location, process_command=command, expose=tuple(ports))
