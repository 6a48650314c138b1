"""What the faults of a store's data have in common: gameday speaks with it as its consumers do, past any proxy."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import SplitResult, urlsplit

from gameday.catalogue import Catalogue, Edge, EdgeKind
from gameday.runtime import Runtime

PATIENCE = 3.0
MISSING = "pip install 'gameday[stores]'"


def told(catalogue: Catalogue, edge: Edge, schemes: Collection[str]) -> SplitResult | None:
    """The URL by which the consumer of `edge` reaches it, where that is of `schemes`, with a `+driver` or without."""
    if edge.kind is not EdgeKind.STORE or not edge.env:
        return None
    url = urlsplit(catalogue.services[edge.consumer].environment[edge.env[0]])
    return url if url.scheme.partition("+")[0] in schemes else None


def reached(runtime: Runtime, edge: Edge, url: SplitResult, scheme: str) -> str:
    """`url` to where the provider itself listens, with the user and the password as they are written."""
    who = url.netloc.rpartition("@")[0]
    return f"{scheme}://{who}{'@' if who else ''}{runtime.endpoint(edge.provider, edge.port)}{url.path}"
