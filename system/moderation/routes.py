"""The HTTP side of moderation-svc. It is for the system's own services and for moderators, not for users."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from system.kit.problem import ProblemError
from system.moderation.models import Checked, Content, Review, ReviewId, Reviews, Ruling
from system.moderation.moderator import Moderator

router = APIRouter()


@dataclass(frozen=True)
class Context:
    """What the routes work with, hung on the app at start."""

    moderator: Moderator


async def context(request: Request) -> Context:
    found: Context = request.app.state.context
    return found


Moderation = Annotated[Context, Depends(context)]


@router.post("/check")
async def check(moderation: Moderation, content: Content) -> Checked:
    """`held` is no verdict: ask again, or look at the review, once a person has decided."""
    return await moderation.moderator.check(content)


@router.get("/reviews")
async def reviews(moderation: Moderation, limit: Annotated[int, Query(ge=1, le=100)] = 20) -> Reviews:
    """What waits for a person."""
    return await moderation.moderator.shelf.oldest(limit)


@router.get("/reviews/{review}")
async def review(moderation: Moderation, review: ReviewId) -> Review:
    return _found(await moderation.moderator.shelf.find(review))


@router.post("/reviews/{review}/ruling")
async def rule(moderation: Moderation, review: ReviewId, ruling: Ruling) -> Review:
    """The first ruling counts. The same one again is fine, another one is a conflict."""
    ruled = _found(await moderation.moderator.rule(review, ruling))
    if ruled.ruling is None or ruled.ruling.verdict != ruling.verdict:
        raise ProblemError(409, "another ruling was given before", extra={"review": ruled.model_dump(mode="json")})
    return ruled


def _found(review: Review | None) -> Review:
    if review is None:
        raise ProblemError(404, "there is no such review")
    return review
