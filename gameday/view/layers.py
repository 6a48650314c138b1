"""Where the edge map puts services and edges: in layers, who calls stands left of what it calls.

Sugiyama's method, in short: longest-path layers, a stand-in wherever an edge crosses a layer, and neighbours near
each other. Sugiyama, Tagawa, Toda 1981, "Methods for Visual Understanding of Hierarchical System Structures".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import mean
from typing import NamedTuple

# Pixels.
WIDTH, HEIGHT = 156.0, 40.0
_COLUMN, _ROW, _LANE, _MARGIN = 236.0, 62.0, 26.0, 16.0
_SWEEPS = 6

Pair = tuple[str, str]
Point = tuple[float, float]


class _StandIn(NamedTuple):
    """Of an edge, in a layer that it crosses."""

    pair: Pair
    layer: int


# In a layer stand services, by their names, and stand-ins.
_Item = str | _StandIn


@dataclass(frozen=True)
class Layout:
    """Pixels. A place is the upper left corner of a service, a way the points through which an edge goes."""

    width: float
    height: float
    places: Mapping[str, Point]
    ways: Mapping[Pair, Sequence[Point]]


def lay_out(services: Sequence[str], pairs: Collection[Pair]) -> Layout:
    """The same for the same input. Who neither calls nor is called stands in a layer of its own, the last."""
    ranks = _ranks(services, pairs)
    ways = {pair: _way(pair, ranks) for pair in sorted(pairs)}
    layers = _ordered(_layers(services, ranks, ways), ways)
    middles, height = _middles(layers)
    return Layout(
        width=2 * _MARGIN + (len(layers) - 1) * _COLUMN + WIDTH,
        height=height,
        places={name: (x - WIDTH / 2, y - HEIGHT / 2) for name, (x, y) in middles.items() if isinstance(name, str)},
        ways={pair: _points(way, middles) for pair, way in ways.items()},
    )


def _ranks(services: Sequence[str], pairs: Collection[Pair]) -> Mapping[str, int]:
    """Of each service the longest chain of calls that leads to it; a call that closes a circle does not count."""
    callers: dict[str, list[str]] = {name: [] for name in services}
    for consumer, provider in sorted(pairs):
        callers[provider].append(consumer)
    ranks: dict[str, int] = {}

    def rank(name: str, above: tuple[str, ...]) -> int:
        if name not in ranks:
            found = [rank(caller, (*above, name)) + 1 for caller in callers[name] if caller not in (*above, name)]
            ranks[name] = max(found, default=0)
        return ranks[name]

    for name in services:
        rank(name, ())
    alone = set(services) - {name for pair in pairs for name in pair}
    last = max((ranks[name] for name in services if name not in alone), default=-1) + 1
    return ranks | dict.fromkeys(alone, last)


def _way(pair: Pair, ranks: Mapping[str, int]) -> Sequence[_Item]:
    """From consumer to provider, with a stand-in in each layer between them."""
    start, end = (ranks[name] for name in pair)
    step = 1 if end >= start else -1
    return (pair[0], *(_StandIn(pair, layer) for layer in range(start + step, end, step)), pair[1])


def _layers(
    services: Sequence[str], ranks: Mapping[str, int], ways: Mapping[Pair, Sequence[_Item]]
) -> list[list[_Item]]:
    layers: list[list[_Item]] = [[] for _ in range(max(ranks.values(), default=0) + 1)]
    for name in services:
        layers[ranks[name]].append(name)
    for way in ways.values():
        for item in way:
            if isinstance(item, _StandIn):
                layers[item.layer].append(item)
    return layers


def _ordered(layers: list[list[_Item]], ways: Mapping[Pair, Sequence[_Item]]) -> list[list[_Item]]:
    """Each layer by where the neighbours of its items stand on average, once from the left, once from the right."""
    neighbours: dict[_Item, list[_Item]] = {item: [] for layer in layers for item in layer}
    for way in ways.values():
        for one, other in pairwise(way):
            neighbours[one].append(other)
            neighbours[other].append(one)
    for sweep in range(_SWEEPS):
        for number in range(len(layers))[:: -1 if sweep % 2 else 1]:
            at = {item: (place + 0.5) / len(layer) for layer in layers for place, item in enumerate(layer)}
            layers[number] = sorted(
                layers[number], key=lambda item: mean([at[each] for each in neighbours[item]] or [at[item]])
            )
    return layers


def _middles(layers: list[list[_Item]]) -> tuple[Mapping[_Item, Point], float]:
    """Of every item, and the height of the whole: each layer is centred."""
    heights = [sum(_ROW if isinstance(item, str) else _LANE for item in layer) for layer in layers]
    height = max(heights, default=0.0) + 2 * _MARGIN
    middles: dict[_Item, Point] = {}
    for number, (layer, own) in enumerate(zip(layers, heights, strict=True)):
        top = (height - own) / 2
        for item in layer:
            room = _ROW if isinstance(item, str) else _LANE
            middles[item] = (_MARGIN + WIDTH / 2 + number * _COLUMN, top + room / 2)
            top += room
    return middles, height


def _points(way: Sequence[_Item], middles: Mapping[_Item, Point]) -> Sequence[Point]:
    """From the consumer's side to the provider's; between two of one layer around their right."""
    (x, y), *between, (to_x, to_y) = (middles[item] for item in way)
    out = 1 if to_x >= x else -1
    back = 1 if to_x == x else -1
    return ((x + out * WIDTH / 2, y), *between, (to_x + back * out * WIDTH / 2, to_y))
