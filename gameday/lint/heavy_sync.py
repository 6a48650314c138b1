"""Users wait for heavy work: a slow call of a request that is neither streamed nor queued."""

from __future__ import annotations

from collections.abc import Iterator

from gameday.catalogue import Catalogue, Edge
from gameday.catalogue.model import EdgeKind, OnLoss
from gameday.durations import text
from gameday.lint import ai
from gameday.lint.percentile import Measured, over
from gameday.lint.requests import Call, Request
from gameday.lint.rule import Look, Rule, Smell, System

_APART = (EdgeKind.MESSAGE, EdgeKind.BROKER, EdgeKind.WEBSOCKET)


def look(system: System) -> Look:
    declared, traced = _declared(system), _traced(system)
    seen = "; ".join(filter(None, (declared.seen, traced.seen)))
    return Look([*declared.smells, *traced.smells], seen, [*declared.unseen, *traced.unseen])


def _declared(system: System) -> Look:
    """A language model takes seconds for an answer, whoever runs it: that much is known without a trace."""
    models = {name for name, known in ai.providers(system.catalogue).items() if known.language}
    if not models:
        return Look(unseen=["no service of the file is known to be a language model"])
    if system.catalogue.entry is None:
        return Look(unseen=["what users wait for: x-gameday.entry names no service that they reach first"])
    waiting = _waiting(system.catalogue)
    smells = [
        Smell(
            edge.name,
            f"users wait for the whole answer of {edge.provider}, a language model: nothing says that it is streamed",
            system.place(edge.name),
        )
        for edge in system.catalogue.edges
        if edge.provider in models and edge.consumer in waiting and _waits(edge)
    ]
    return Look(smells, f"language models behind {system.catalogue.entry}: {', '.join(sorted(models))}")


def _waiting(catalogue: Catalogue) -> set[str]:
    """The services that a request of a user may wait for."""
    found, fresh = set[str](), {catalogue.entry or ""}
    while fresh:
        found |= fresh
        fresh = {edge.provider for edge in catalogue.edges if edge.consumer in fresh and _waits(edge)} - found
    return found


def _waits(edge: Edge) -> bool:
    """What may be queued when the provider is gone is nothing that anybody waits for."""
    return not edge.streamed and edge.kind not in _APART and edge.on_loss is not OnLoss.QUEUED


def _traced(system: System) -> Look:
    if not system.requests:
        return Look(unseen=[system.untraced])
    streamed = {edge.name for edge in system.catalogue.edges if edge.streamed}
    waits: dict[tuple[str, str], list[tuple[float, str]]] = {}
    for request in system.requests:
        for edge, seconds in _longest(request, streamed, system.limits.seconds):
            waits.setdefault((request.route, edge), []).append((seconds, request.trace))
    limit = system.limits.seconds

    def told(each: Measured) -> str:
        return f"the request waits {text(each.value)} (95th percentile of {each.n}, limit {text(limit)})"

    return over(limit, waits, told, system)


def _longest(request: Request, streamed: set[str], limit: float) -> Iterator[tuple[str, float]]:
    """By edge the longest call that the request waited for; nothing of one that only waits for another heavy one."""
    waited = [call for call in request.calls if call.waited and call.edge not in streamed]
    blamed = {call.within for call in waited if call.seconds > limit}
    longest: dict[str, Call] = {}
    for call in waited:
        if call.edge not in longest or call.seconds > longest[call.edge].seconds:
            longest[call.edge] = call
    for edge, call in longest.items():
        yield edge, 0.0 if call.span in blamed else call.seconds


RULE = Rule(
    "heavy-sync",
    "Nobody waits for heavy work",
    "a request that waits holds a connection and a worker all the while: a few slow ones take the service from all",
    "stream the answer (x-gameday.streams), or put the work into a queue and answer 202",
    look,
)
