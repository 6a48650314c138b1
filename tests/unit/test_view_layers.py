"""The places of the edge map: who calls stands left of what it calls, and edges go around services."""

from __future__ import annotations

from gameday.view.layers import HEIGHT, WIDTH, lay_out

SHOP = ["web", "admin", "stock", "prices", "db", "mail"]
CALLS = [("admin", "stock"), ("web", "stock"), ("web", "prices"), ("prices", "stock"), ("stock", "db"), ("web", "db")]


def test_services_stand_in_layers_by_the_longest_chain_that_leads_to_them() -> None:
    places = lay_out(SHOP, CALLS).places
    lefts = [places[name][0] for name in ("web", "prices", "stock", "db", "mail")]
    assert lefts == sorted(set(lefts))


def test_no_two_services_overlap_and_all_lie_on_the_map() -> None:
    names = [f"s{number}" for number in range(12)]
    layout = lay_out(names, [("s0", name) for name in names[1:]] + [("s1", "s11"), ("s2", "s11")])
    boxes = list(layout.places.values())
    for number, (x, y) in enumerate(boxes):
        assert 0 <= x <= layout.width - WIDTH
        assert 0 <= y <= layout.height - HEIGHT
        assert [
            1 for other_x, other_y in boxes[:number] if abs(other_x - x) < WIDTH and abs(other_y - y) < HEIGHT
        ] == []


def test_an_edge_leads_from_the_side_of_one_to_the_side_of_the_other_around_what_is_between() -> None:
    layout = lay_out(SHOP, CALLS)
    way = layout.ways["web", "db"]
    (web_x, web_y), (db_x, db_y) = layout.places["web"], layout.places["db"]
    assert way[0] == (web_x + WIDTH, web_y + HEIGHT / 2)
    assert way[-1] == (db_x, db_y + HEIGHT / 2)
    assert len(way) == 4
    for x, y in way[1:-1]:
        inside = [
            name
            for name, (left, top) in layout.places.items()
            if left <= x <= left + WIDTH and top <= y <= top + HEIGHT
        ]
        assert inside == []


def test_a_circle_of_calls_is_drawn_too() -> None:
    layout = lay_out(["a", "b", "c"], [("a", "b"), ("b", "c"), ("c", "a")])
    assert len({x for x, _ in layout.places.values()}) == 3
    back = [pair for pair, way in layout.ways.items() if way[-1][0] < way[0][0]]
    assert len(back) == 1


def test_neighbours_stand_near_each_other() -> None:
    """As they are listed, the four edges would cross."""
    layout = lay_out(["a", "b", "x", "y"], [("a", "y"), ("b", "x")])
    assert layout.places["a"][1] == layout.places["y"][1]
    assert layout.places["b"][1] == layout.places["x"][1]


def test_the_map_stays_as_it_is_whatever_the_order_of_the_edges() -> None:
    assert lay_out(SHOP, CALLS) == lay_out(SHOP, CALLS[::-1])


def test_the_map_of_nothing_is_empty() -> None:
    assert lay_out([], []).places == {}
