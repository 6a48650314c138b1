"""In which order services start."""

from __future__ import annotations

from collections.abc import Collection
from graphlib import TopologicalSorter

from gameday.catalogue import Catalogue


def closure(catalogue: Catalogue, services: Collection[str] | None = None) -> tuple[str, ...]:
    """`services` (None: all) with everything they depend on, providers first.

    Raises KeyError for a name that the catalogue does not hold.
    """
    wanted = list(catalogue.services if services is None else services)
    graph: dict[str, tuple[str, ...]] = {}
    while wanted:
        name = wanted.pop()
        if name not in graph:
            # A dependency that a profile left out is not ours to start.
            graph[name] = tuple(each for each in catalogue.services[name].depends_on if each in catalogue.services)
            wanted += graph[name]
    return tuple(TopologicalSorter(graph).static_order())
