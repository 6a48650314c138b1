"""What traces tell of the services that one request passed through, and what they do not."""

from __future__ import annotations

from gameday.catalogue import Edge
from gameday.catalogue.model import EdgeKind
from gameday.footprints import Footprints
from gameday.tools.jaeger import Span


def edge(consumer: str, provider: str) -> Edge:
    return Edge(consumer, provider, 80, EdgeKind.HTTP, ())


def trace(name: str, *calls: str) -> list[Span]:
    """`web`, `web>shop`: who was asked by whom."""
    spans = []
    for call in calls:
        caller, _, service = call.rpartition(">")
        parent = f"{name}-{caller}" if caller else ""
        spans.append(Span(name, f"{name}-{service}", parent, service, "GET", 0.0, 1.0, None, {}))
    return spans


SEEN = Footprints.of([trace("1", "web", "web>shop", "shop>stock"), trace("2", "web", "web>search")])


def test_edges_whose_services_share_a_trace_may_be_used_by_one_request() -> None:
    assert SEEN.together([edge("web", "shop"), edge("shop", "stock")])
    assert not SEEN.together([edge("web", "shop"), edge("web", "search")])


def test_who_leaves_no_span_may_have_been_passed_by_any_request_of_its_consumer() -> None:
    assert SEEN.together([edge("shop", "postgres"), edge("web", "shop")])
    assert not SEEN.together([edge("shop", "postgres"), edge("search", "postgres")])
    assert SEEN.together([edge("mails", "postgres"), edge("batch", "redis")])
    assert Footprints().together([edge("web", "shop"), edge("web", "search")])


def test_what_only_one_edge_leads_to_is_told() -> None:
    assert SEEN.only_over(edge("web", "shop"), edge("shop", "stock"))
    assert not SEEN.only_over(edge("web", "search"), edge("shop", "stock"))
    also = Footprints.of([trace("1", "web", "web>shop"), trace("2", "cron>shop")])
    assert not also.only_over(edge("web", "shop"), edge("shop", "stock"))
