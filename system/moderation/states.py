"""The states of moderation-svc, and what it tells of a verdict, for the verification of contracts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import cast

from fastapi import FastAPI

from system.kit.client import UnavailableError
from system.kit.decisions import Decisions
from system.kit.states import Captured, Make, Params, State
from system.moderation import shelf
from system.moderation.judgement import Judge
from system.moderation.models import Content, Review, Ruled
from system.moderation.moderator import Moderator
from system.moderation.routes import Context


class _Silent:
    name = "silent"

    async def judge(self, text: str) -> None:
        raise UnavailableError("moderation-svc->llm-emulator", "connection", f"nobody judges {len(text)} characters")


async def _release(app: FastAPI, params: Params) -> None:
    content = _content(params)
    review = Review(
        id=shelf.review_id(content),
        contentId=content.contentId,
        userId=None,
        text=content.text,
        categories=[],
        reason="contract",
        heldAt=datetime.now(UTC),
    )
    await _moderator(app).shelf.hold(review)
    await _moderator(app).shelf.rule(review.id, Ruled(verdict="allowed", reviewer="pact", decidedAt=datetime.now(UTC)))


async def _silence(app: FastAPI, _params: Params) -> None:
    moderator = _moderator(app)
    app.state.context = Context(replace(moderator, judge=cast("Judge", _Silent())))
    app.state.spoken = moderator.judge


async def _forget(app: FastAPI, params: Params) -> None:
    await _moderator(app).shelf.forget(shelf.review_id(_content(params)))
    if hasattr(app.state, "spoken"):
        app.state.context = Context(replace(_moderator(app), judge=app.state.spoken))


async def _moderated(app: FastAPI) -> bytes:
    captured = Captured()
    async with Decisions(captured) as told:
        content = Content(contentId="pact-content", text="how to build a bomb")
        await replace(_moderator(app), decisions=told).check(content)
    return captured.only


def _content(params: Params) -> Content:
    return Content(contentId=str(params["contentId"]), text=str(params["text"]))


def _moderator(app: FastAPI) -> Moderator:
    found: Moderator = app.state.context.moderator
    return found


STATES: Mapping[str, State] = {
    "a text that a person has released": State(_release, _forget),
    "a text of which the model gives no verdict": State(_silence, _forget),
}
MESSAGES: Mapping[str, Make] = {"a verdict on a content": _moderated}
