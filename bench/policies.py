"""What each policy of the gateway costs: processor time of a request with all of them, less that with one switched off.

    python bench/policies.py [--rounds 5] [--seconds 3] [--json]

A gateway for each row has one core for itself and hands on `GET` of 1 KB of JSON from an nginx on the other core; wrk
asks over 32 connections. Redis' and nginx' own time is not counted. Needs wrk and nginx (Debian).
Example: python bench/policies.py --rounds 3
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from functools import partial

from gateway import CONNECTIONS, SAMPLED, gateway, parser, token, upstreams
from rich.console import Console
from rich.table import Table
from stack import Pinned, Rounds, Stack, stack, wrk

ALL = "all policies"
# What is switched off, and how.
OFF: Mapping[str, Mapping[str, str]] = {
    ALL: {},
    "limits, counted in Redis": {"RATE_LIMIT_FACTOR": "0"},
    "breaker": {"BREAKER_ENABLED": "false"},
    "log line": {"LOG_LEVEL": "warning"},
    "spans of one request in ten": {SAMPLED: "0"},
}
EVERY = "spans of every request"


def main() -> int:
    arguments = parser(__doc__).parse_args()
    with stack() as made:
        upstream = upstreams(made)
        rows = {**OFF, EVERY: {SAMPLED: "1"}}
        ask: dict[str, Callable[[], float]] = {
            name: partial(cost, *started(made, upstream, settings), arguments.seconds)
            for name, settings in rows.items()
        }
        rounds = Rounds(ask, arguments.rounds, "µs of CPU")
    costs = {name: rounds.median(ALL) - rounds.median(name) for name in OFF if name != ALL}
    costs[EVERY] = rounds.median(EVERY) - rounds.median("spans of one request in ten")
    if arguments.json:
        print(json.dumps({"unit": "µs of CPU a request", ALL: rounds.median(ALL), "costs": costs}, indent=2))
    else:
        show(rounds.median(ALL), costs)
    return 0


def started(made: Stack, upstream: int, settings: Mapping[str, str]) -> tuple[Pinned, str]:
    port = gateway(made, upstream, **settings)
    return made.servers[-1], f"http://127.0.0.1:{port}/api/users/me"


def cost(server: Pinned, url: str, seconds: float) -> float:
    """µs of processor time that one request took the server."""
    before = server.cpu_seconds()
    asked = wrk(url, seconds, CONNECTIONS, {"authorization": f"Bearer {token()}"}) * seconds
    return (server.cpu_seconds() - before) / asked * 1e6


def show(whole: float, costs: Mapping[str, float]) -> None:
    table = Table("policy", "µs of CPU a request", "share", title=f"All policies: {whole:.0f} µs a request")
    for name, each in costs.items():
        table.add_row(name, f"{each:.0f}", f"{each / whole:.0%}")
    Console(width=100).print(table)


if __name__ == "__main__":
    sys.exit(main())
