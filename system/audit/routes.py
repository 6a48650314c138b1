"""The HTTP side of audit-svc. Nothing of it is reached through the gateway."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request

from system.audit import trail
from system.audit.auditor import Auditor
from system.audit.models import (
    End,
    Erasure,
    Filter,
    Number,
    Page,
    Person,
    Recorded,
    Replayed,
    Sum,
    Verified,
    Wrong,
    sums,
)
from system.audit.state import differences
from system.kit import database
from system.kit.decisions import Name
from system.kit.problem import ProblemError

router = APIRouter()

SHOWN = 100


@dataclass(frozen=True)
class Context:
    """What the routes work with, hung on the app at start."""

    pool: database.Pool
    auditor: Auditor


async def context(request: Request) -> Context:
    found: Context = request.app.state.context
    return found


Audit = Annotated[Context, Depends(context)]


@router.get("/decisions")
async def decisions(audit: Audit, wanted: Annotated[Filter, Query()]) -> Page:
    async with database.transaction(audit.pool) as connection:
        found = await trail.find(connection, wanted.wanted(), wanted.limit + 1)
    page, more = found[: wanted.limit], found[wanted.limit :]
    return Page(decisions=[Recorded.of(entry) for entry in page], next=page[-1].number if more else None)


@router.get("/decisions/{decision}")
async def decision(audit: Audit, decision: UUID) -> Recorded:
    async with database.transaction(audit.pool) as connection:
        entry = await trail.by_id(connection, decision)
    if entry is None or entry.model is None:
        raise ProblemError(404, "there is no such decision")
    return Recorded.of(entry)


@router.get("/totals")
async def totals(audit: Audit, user: Name | None = None, model: Name | None = None) -> list[Sum]:
    async with database.transaction(audit.pool) as connection:
        return sums(await trail.totals(connection, user, model))


@router.get("/replay")
async def replay(audit: Audit) -> Replayed:
    """Makes the totals anew from the trail, and says where those that were kept are not the same."""
    done = await audit.auditor.replay()
    wrong = differences(done.state, done.counted)
    shown = {key: done.state[key] for key in wrong if key in done.state}
    return Replayed(through=done.through, groups=len(done.state), same=not wrong, differences=sums(shown)[:SHOWN])


@router.get("/state")
async def state(audit: Audit, through: Number, user: Name | None = None, model: Name | None = None) -> list[Sum]:
    """The totals as they were after the entry `through`, of what is not forgotten by now."""
    done = await audit.auditor.replay(through)
    return sums({k: t for k, t in done.state.items() if user in (None, k.user) and model in (None, k.model)})


@router.get("/verification")
async def verification(
    audit: Audit, after: Number = 0, limit: Annotated[int, Query(ge=1, le=100_000)] = 10_000
) -> Verified:
    """Checks the chain behind the number `after`."""
    done = await audit.auditor.verify(after, limit)
    complete = done.last is None or done.head is None or done.last.number >= done.head.number
    return Verified(
        sound=not done.findings,
        checked=done.checked,
        next=None if complete or done.last is None else done.last.number,
        findings=[Wrong.of(finding) for finding in done.findings[:SHOWN]],
        head=End(number=done.head.number, hash=done.head.hash.hex()) if done.head else None,
    )


@router.post("/erasures", status_code=201)
async def erase(audit: Audit, person: Person) -> Erasure:
    """Forgets what the decisions so far say of a person; that they were made stays in the trail."""
    async with database.transaction(audit.pool) as connection:
        return Erasure(forgotten=await trail.erase(connection, person.userId))
