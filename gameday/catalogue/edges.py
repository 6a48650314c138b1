"""The edges of a catalogue: declared by environment values, stated by the file, observed in a running system."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from gameday.catalogue import kinds
from gameday.catalogue.endpoints import Reference, references, words
from gameday.catalogue.extension import ServiceKeys
from gameday.catalogue.model import Catalogue, Edge, EdgeKind, Evidence, Service

Names = Mapping[str, Mapping[str, str]]
Address = tuple[str, int]


@dataclass(frozen=True)
class Stated:
    """That one service needs another, as the file says outside of the environment."""

    consumer: str
    provider: str


@dataclass
class _Draft:
    kinds: list[EdgeKind] = field(default_factory=list)
    env: list[str] = field(default_factory=list)
    evidence: set[Evidence] = field(default_factory=set)


def build(
    services: Mapping[str, Service],
    names: Names,
    stated: Iterable[Stated],
    keys: Mapping[str, ServiceKeys],
) -> tuple[Edge, ...]:
    """Every edge between `services`. `names` says, for each consumer, which host name is which service."""
    drafts: dict[tuple[str, str, int | None], _Draft] = {}
    for consumer, service in services.items():
        for reference in calls(service, names[consumer]):
            _declare(drafts, consumer, reference, services[reference.provider])
    for each in stated:
        _state(drafts, each, services[each.provider])
    edges = [_finished(key, draft, keys.get(key[0], ServiceKeys())) for key, draft in drafts.items()]
    return tuple(sorted([*edges, *_messages(keys)], key=_order))


def calls(service: Service, names: Mapping[str, str]) -> list[Reference]:
    """Where the environment of `service` names another service than itself."""
    return [each for each in references(service.environment, names) if each.provider != service.name]


def port_of(reference: Reference, provider: Service) -> int | None:
    """The port as written, or as the scheme, the provider's file entry or its image says."""
    if reference.port is not None:
        return reference.port
    by_scheme = kinds.by_scheme(reference.scheme)
    return by_scheme[1] if by_scheme and by_scheme[1] else kinds.only_port(provider)


def _declare(
    drafts: dict[tuple[str, str, int | None], _Draft], consumer: str, reference: Reference, provider: Service
) -> None:
    port = port_of(reference, provider)
    draft = drafts.setdefault((consumer, provider.name, port), _Draft())
    draft.kinds.append(kinds.kind(provider, port, reference.scheme, reference.keys))
    draft.env += reference.keys
    draft.evidence.add(Evidence.DECLARED)


def _state(drafts: dict[tuple[str, str, int | None], _Draft], stated: Stated, provider: Service) -> None:
    """Backs what is declared between the two; an edge of its own where nothing is."""
    between = [draft for key, draft in drafts.items() if key[:2] == (stated.consumer, stated.provider)]
    if not between:
        port = kinds.only_port(provider)
        between = [drafts.setdefault((stated.consumer, stated.provider, port), _Draft())]
        between[0].kinds.append(kinds.kind(provider, port, None, ()))
    for draft in between:
        draft.evidence.add(Evidence.STATED)


def _finished(key: tuple[str, str, int | None], draft: _Draft, keys: ServiceKeys) -> Edge:
    consumer, provider, port = key
    seen = next((kind for kind in draft.kinds if kind is not EdgeKind.TCP), EdgeKind.TCP)
    return Edge(
        consumer=consumer,
        provider=provider,
        port=port,
        kind=keys.kind.get(provider, seen),
        evidence=tuple(each for each in Evidence if each in draft.evidence),
        env=tuple(dict.fromkeys(draft.env)),
        on_loss=keys.on_loss.get(provider),
        streamed=provider in keys.streams,
    )


def _messages(keys: Mapping[str, ServiceKeys]) -> Iterator[Edge]:
    """Who consumes a message depends on who publishes it, whatever carries it."""
    pairs = {
        (consumer, publisher)
        for consumer, theirs in keys.items()
        for publisher, ours in keys.items()
        if consumer != publisher and not set(theirs.consumes).isdisjoint(ours.publishes)
    }
    for consumer, publisher in pairs:
        yield Edge(consumer, publisher, None, EdgeKind.MESSAGE, (Evidence.STATED,))


def observe(catalogue: Catalogue, connections: Iterable[tuple[str, str, int | None]]) -> Catalogue:
    """The catalogue with what was seen: `connections` are consumer, provider and the provider's container port."""
    edges = list(catalogue.edges)
    for consumer, provider, port in connections:
        if consumer == provider or consumer not in catalogue.services or provider not in catalogue.services:
            continue
        index = _matching(edges, consumer, provider, port)
        if index is None:
            kind = kinds.kind(catalogue.services[provider], port, None, ())
            edges.append(Edge(consumer, provider, port, kind, (Evidence.OBSERVED,)))
        else:
            edges[index] = _seen(edges[index], port)
    return replace(catalogue, edges=tuple(sorted(edges, key=_order)))


def _matching(edges: list[Edge], consumer: str, provider: str, port: int | None) -> int | None:
    """The edge with that port, or else one of which no port is known."""
    between = [
        index
        for index, edge in enumerate(edges)
        if (edge.consumer, edge.provider) == (consumer, provider) and edge.kind is not EdgeKind.MESSAGE
    ]
    exact = [index for index in between if edges[index].port == port]
    unknown = [index for index in between if edges[index].port is None]
    return next(iter(exact or unknown), None)


def _seen(edge: Edge, port: int | None) -> Edge:
    evidence = tuple(each for each in Evidence if each in edge.evidence or each is Evidence.OBSERVED)
    return replace(edge, port=port if edge.port is None else edge.port, evidence=evidence)


def _order(edge: Edge) -> tuple[str, str, int]:
    return edge.consumer, edge.provider, edge.port or 0


def rewritten(
    catalogue: Catalogue, consumer: str, address: Callable[[str, int | None], Address | None]
) -> dict[str, str]:
    """The environment of `consumer` with each named provider at the address that `address(provider, port)` gives.

    None leaves the place as it is. A bare host whose port the file does not say in
    a key of its own gets `host:port` only where the key takes an address.
    """
    service = catalogue.services[consumer]
    result = dict(service.environment)
    # From the end, so that the spans of what is still to come stay true.
    for each in sorted(calls(service, catalogue.names[consumer]), key=lambda reference: reference.host, reverse=True):
        found = address(each.provider, port_of(each, catalogue.services[each.provider]))
        if found is not None:
            _rewrite(result, each, found)
    return result


def _rewrite(environment: dict[str, str], reference: Reference, address: Address) -> None:
    host, port = address
    value = environment[reference.key]
    if reference.port_key is not None:
        environment[reference.port_key] = str(port)
    elif reference.port_span is not None:
        value = _spliced(value, reference, host, str(port))
    elif reference.scheme is not None or _takes_address(reference.key):
        host = f"{host}:{port}"
    if reference.port_span is None:
        value = value[: reference.host[0]] + host + value[reference.host[1] :]
    environment[reference.key] = value


def _spliced(value: str, reference: Reference, host: str, port: str) -> str:
    """Both replaced, the later one first."""
    spans = [(reference.host, host)]
    if reference.port_span is not None:
        spans.append((reference.port_span, port))
    for (start, end), text in sorted(spans, reverse=True):
        value = value[:start] + text + value[end:]
    return value


def _takes_address(key: str) -> bool:
    return not words(key)[-1].endswith(("HOST", "HOSTNAME"))
