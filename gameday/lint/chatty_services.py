"""One request of a user makes many calls over the same edge."""

from __future__ import annotations

from collections import Counter

from gameday.lint.percentile import Measured, over
from gameday.lint.rule import Look, Rule, System


def look(system: System) -> Look:
    if not system.requests:
        return Look(unseen=[system.untraced])
    counts: dict[tuple[str, str], list[tuple[float, str]]] = {}
    for request in system.requests:
        for edge, count in Counter(call.edge for call in request.calls).items():
            counts.setdefault((request.route, edge), []).append((count, request.trace))

    def told(each: Measured) -> str:
        return f"{each.value:.0f} calls for one request (95th percentile of {each.n}, limit {system.limits.calls})"

    return over(system.limits.calls, counts, told, system)


RULE = Rule(
    "chatty-services",
    "A request calls each provider a few times at most",
    "each call adds its wait and its chance to fail, and the load of the provider grows with every item of an answer",
    "ask for all items in one call, keep answers that are the same for many, or move the data to where it is needed",
    look,
)
