"""Which faults are made together, in which order, and what is told of the rest."""

from __future__ import annotations

from itertools import islice

import pytest

from gameday.cases import EDGE_FAULTS, SERVICE_FAULTS, Break, Case, Draw, Pairs, Use
from gameday.catalogue import Edge
from gameday.catalogue.model import EdgeKind, OnLoss
from gameday.footprints import Footprints


def edge(name: str, on_loss: OnLoss | None = None) -> Edge:
    consumer, _, provider = name.partition("->")
    return Edge(consumer, provider, 80, EdgeKind.HTTP, (), on_loss=on_loss)


SHOP, SEARCH, STOCK, PRICES = edge("web->shop"), edge("web->search"), edge("shop->stock"), edge("shop->prices")
EDGES = (SHOP, SEARCH, STOCK, PRICES)


def on_edges(*edges: Edge, faults: tuple[str, ...] = tuple(EDGE_FAULTS)) -> list[Break]:
    return [Break(fault, f"{each.name}:80", (each,)) for each in edges for fault in faults]


def on_service(name: str, *edges: Edge, fault: str = "kill") -> Break:
    return Break(fault, name, edges)


EVERYWHERE = Use(EDGES, Footprints())
# A request passes the shop or the search, and the stock and the prices only through the shop.
TRACED = Footprints(
    frozenset({frozenset({"web", "shop", "stock", "prices"}), frozenset({"web", "search"})}),
    {"web": frozenset({""}), "shop": frozenset({"web"}), "search": frozenset({"web"})},
)


def titles(pairs: Pairs, breaks: list[Break], use: Use = EVERYWHERE) -> list[str]:
    return [case.title for case in pairs.cases(breaks, use)]


def test_before_two_faults_at_once_comes_each_of_them_alone() -> None:
    cases = list(Pairs(seed=1, most=3).cases(on_edges(*EDGES), EVERYWHERE))
    pairs = [case for case in cases if len(case.breaks) == 2]
    assert len(pairs) == 3
    alone = [case.breaks[0] for case in cases if len(case.breaks) == 1]
    assert cases[: len(alone)] == [Case((each,)) for each in alone]
    assert set(alone) == {each for pair in pairs for each in pair.breaks}


def test_no_two_edges_come_again_before_all_have_come() -> None:
    pairs = [case for case in Pairs(seed=1, most=12).cases(on_edges(*EDGES), EVERYWHERE) if len(case.breaks) == 2]
    edges = [frozenset(each.target for each in case.breaks) for case in pairs]
    assert all(len(pair) == 2 for pair in edges)
    assert len(set(edges[:6])) == 6
    assert set(edges[6:]) == set(edges[:6])


def test_the_seed_alone_says_which_come_first() -> None:
    breaks = on_edges(*EDGES)
    assert titles(Pairs(1, 5), breaks) == titles(Pairs(1, 5), breaks)
    assert titles(Pairs(1, 5), breaks) != titles(Pairs(2, 5), breaks)
    some = [title for title in titles(Pairs(1, 10_000), breaks) if "prices" not in title]
    fewer = titles(Pairs(1, 10_000), breaks, Use(EDGES[:3], Footprints()))
    assert sorted(some) == sorted(fewer)


def test_edges_that_no_recorded_request_used_both_are_not_broken_at_once_and_told() -> None:
    down, use = on_edges(*EDGES, faults=("latency",)), Use(EDGES, TRACED)
    pairs = Pairs(1, 100)
    assert not [title for title in titles(pairs, down, use) if "search" in title]
    told = "web->search:80: no recorded request used it and shop->stock:80, shop->prices:80"
    assert list(pairs.left_out(down, use)) == ["web->shop:80: no recorded request used it and web->search:80", told]


def test_what_a_refused_connection_keeps_from_being_asked_is_not_broken_beside_it_and_told() -> None:
    down, use = on_edges(SHOP, STOCK, faults=("down", "latency")), Use(EDGES, TRACED)
    made = [title for title in titles(Pairs(1, 100), down, use) if " and " in title]
    assert sorted(made) == [
        "latency on web->shop:80 and down on shop->stock:80",
        "latency on web->shop:80 and latency on shop->stock:80",
    ]
    assert list(Pairs(1, 100).left_out(down, use)) == [
        "down on web->shop:80: no recorded request would come to shop->stock:80"
    ]


def test_what_is_beyond_the_most_is_counted() -> None:
    breaks = on_edges(*EDGES, faults=("down", "latency"))
    assert list(Pairs(1, 4).left_out(breaks, EVERYWHERE)) == [
        "20 of 24 pairs of faults, beyond 4 (--most); 2 of 6 pairs of edges were not broken at once"
    ]
    assert list(Pairs(1, 24).left_out(breaks, EVERYWHERE)) == []


def drawn(seed: int, edges: int = 4, at_once: int = 1, count: int = 20) -> list[Case]:
    breaks = [*on_edges(*EDGES), on_service("shop", SHOP), on_service("stock", STOCK, fault="cpu")]
    return list(islice(Draw(seed, 60.0, at_once).cases(breaks, Use(EDGES[:edges], Footprints())), count))


def test_what_is_drawn_comes_again_by_its_seed() -> None:
    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert {each.fault for case in drawn(1, count=100) for each in case.breaks} >= {"kill", "cpu", "down"}
    assert drawn(1, edges=0) == []
    assert list(Draw(1, 0.0).cases(on_edges(*EDGES), EVERYWHERE)) == []


def test_an_edge_that_is_not_used_this_time_changes_nothing_of_the_rest() -> None:
    fewer, more = drawn(3, edges=3), drawn(3, edges=4)
    both = [(one, other) for one, other in zip(fewer, more, strict=True) if PRICES not in other.breaks[0].edges]
    assert 0 < len(both) < 20
    assert all(one == other for one, other in both)


def test_what_is_drawn_again_has_a_place_of_its_own() -> None:
    names = [case.name for case in drawn(1, edges=1)]
    assert len(set(names)) == 20
    assert names[0].startswith("001-")


def test_two_faults_at_once_are_never_on_one_target_nor_on_a_service_and_its_edges() -> None:
    cases = drawn(5, at_once=3, count=200)
    assert max(len(case.breaks) for case in cases) == 3
    for case in cases:
        broken = [edge for each in case.breaks for edge in each.edges]
        assert len(broken) == len(set(broken)), case
        services = {each.target for each in case.breaks if each.fault in SERVICE_FAULTS}
        assert not services & {edge.consumer for edge in broken}, case


@pytest.mark.parametrize(
    ("declared", "demanded"),
    [
        ((OnLoss.FALLBACK, OnLoss.QUEUED), OnLoss.FALLBACK),
        ((OnLoss.QUEUED, OnLoss.QUEUED), OnLoss.QUEUED),
        ((OnLoss.FALLBACK, OnLoss.CLEAN_ERROR), None),
        ((OnLoss.FALLBACK, None), None),
        ((OnLoss.CLEAN_ERROR, OnLoss.CLEAN_ERROR), OnLoss.CLEAN_ERROR),
    ],
)
def test_nobody_may_notice_only_where_every_broken_edge_is_declared_so(
    declared: tuple[OnLoss | None, ...], demanded: OnLoss | None
) -> None:
    broken = [edge(f"a->{number}", on_loss) for number, on_loss in enumerate(declared)]
    assert Case(tuple(on_edges(*broken, faults=("down",)))).on_loss is demanded
    assert Case((on_service("x", *broken),)).on_loss is demanded
