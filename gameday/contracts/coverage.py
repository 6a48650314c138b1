"""Which edges of a catalogue need a contract, and which have one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gameday.catalogue import Catalogue, Edge, EdgeKind, kinds
from gameday.contracts.pacts import Pact
from gameday.verdict import Finding, Result, Verdict

SPOKEN = frozenset({EdgeKind.HTTP, EdgeKind.GRPC, EdgeKind.WEBSOCKET, EdgeKind.MESSAGE})


@dataclass(frozen=True)
class Covered:
    """`pact` is None where nothing was agreed."""

    edge: Edge
    pact: Pact | None


def coverage(catalogue: Catalogue, pacts: Sequence[Pact]) -> list[Covered]:
    """One for each edge that needs a contract: stores, brokers and ready-made images speak as their makers publish."""
    return [Covered(edge, _agreed(edge, pacts)) for edge in catalogue.edges if _needs(catalogue, edge)]


def missing(catalogue: Catalogue, pacts: Sequence[Pact]) -> Iterator[Result]:
    """A refuted result for each edge without a contract."""
    for each in coverage(catalogue, pacts):
        if each.pact is None:
            edge = each.edge
            finding = Finding(
                check="coverage",
                subject=edge.name,
                verdict=Verdict.REFUTED,
                expected=f"a contract for the {edge.kind} edge {edge.name}",
                observed="none",
                detail=f"write a test of {edge.consumer} in contracts/ that agrees it with {edge.provider}",
            )
            yield Result(
                suite="contracts",
                name=f"{edge.name}:{edge.kind}",
                title=f"{edge.consumer} has agreed with {edge.provider}",
                findings=(finding,),
            )


def _needs(catalogue: Catalogue, edge: Edge) -> bool:
    return edge.kind in SPOKEN and kinds.by_image(catalogue.services[edge.provider]) is None


def _agreed(edge: Edge, pacts: Sequence[Pact]) -> Pact | None:
    """The file of the pair that speaks of this kind of edge."""
    return next((pact for pact in pacts if pact.name == edge.name and edge.kind in _kinds(pact)), None)


def _kinds(pact: Pact) -> set[EdgeKind]:
    if pact.grpc:
        return {EdgeKind.GRPC}
    asked = {EdgeKind.HTTP, EdgeKind.WEBSOCKET}
    kinds_: set[EdgeKind] = set()
    for interaction in pact.interactions:
        kinds_ |= {EdgeKind.MESSAGE} if interaction.message else asked
    return kinds_
