"""Which service talks to which, from a table of connections."""

from __future__ import annotations

from gameday.runtime.observe import Seen, edges
from gameday.runtime.procfs import Connection

LISTENERS = {20001: ("api", 8000), 20002: ("db", 5432), 30001: ("api", 8000)}


def test_a_wire_stands_for_the_service_behind_it() -> None:
    connections = [Connection(50000, 20001, 11), Connection(50001, 30001, 12), Connection(50002, 20002, 13)]
    assert edges(connections, {11: "web", 12: "web", 13: "api"}, LISTENERS) == {
        Seen("web", "api", 8000),
        Seen("api", "db", 5432),
    }


def test_the_providers_end_strangers_and_oneself_are_no_edges() -> None:
    connections = [
        Connection(20001, 50000, 11),  # the accepting end of a connection
        Connection(50003, 443, 12),  # to somewhere else
        Connection(50004, 20001, 99),  # by a process that is none of ours
        Connection(50005, 20001, 13),  # a service asking itself
    ]
    assert edges(connections, {11: "api", 12: "web", 13: "api"}, LISTENERS) == set()
