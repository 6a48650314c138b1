"""A verdict on a content: block list, then what a person said of it before, then the model. It fails closed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from system.kit import signals, telemetry
from system.kit.client import UnavailableError
from system.kit.decisions import MODERATED, Decisions
from system.moderation.blocklist import BlockList, Hit
from system.moderation.judgement import Judge, Judgement
from system.moderation.models import Checked, Content, Review, Ruled, Ruling
from system.moderation.shelf import Shelf, review_id

BLOCK_LIST = "block-list"
REFUSED = "Content failed safety check"


@dataclass(frozen=True)
class Moderator:
    block_list: BlockList
    judge: Judge
    shelf: Shelf
    decisions: Decisions
    confidence_needed: float

    async def check(self, content: Content) -> Checked:
        """Raises UnavailableError where it cannot be known whether a person ruled, or nothing can be held."""
        checked = await self._checked(content)
        signals.MODERATIONS.labels(checked.verdict, checked.source).inc()
        self._tell(content, checked)
        return checked

    async def rule(self, id_: str, ruling: Ruling) -> Review | None:
        """The review with the ruling that counts: the first. None where there is no such review."""
        review = await self.shelf.rule(id_, Ruled(**ruling.model_dump(), decidedAt=datetime.now(UTC)))
        if review and review.ruling:
            log = telemetry.logger("rule").bind(reviewId=id_, contentId=review.contentId)
            log.info(signals.LOG_RULED, verdict=review.ruling.verdict, reviewer=review.ruling.reviewer)
        return review

    async def _checked(self, content: Content) -> Checked:
        hit = self.block_list.find(content.text)
        if hit:
            return _blocked(content, hit)
        before = await self.shelf.find(review_id(content))
        if before and before.ruling:
            return _ruled(content, before.ruling, before.id)
        try:
            judgement = await self.judge.judge(content.text)
        except UnavailableError as error:
            return await self._hold(content, None, f"the model gave no verdict: {error.reason}")
        if judgement.confidence < self.confidence_needed:
            return await self._hold(content, judgement, f"the model is not sure: {judgement.reason}")
        return _judged(content, judgement)

    async def _hold(self, content: Content, judgement: Judgement | None, reason: str) -> Checked:
        review = Review(
            id=review_id(content),
            contentId=content.contentId,
            userId=telemetry.USER_ID.get() or None,
            text=content.text,
            categories=judgement.categories if judgement else [],
            reason=reason,
            heldAt=datetime.now(UTC),
        )
        await self.shelf.hold(review)
        return Checked(
            contentId=content.contentId,
            verdict="held",
            source="model" if judgement else "nobody",
            categories=review.categories,
            reason=reason,
            confidence=judgement.confidence if judgement else None,
            reviewId=review.id,
        )

    def _tell(self, content: Content, checked: Checked) -> None:
        """What a person ruled is no decision of a model: it stands in the review and in the log."""
        if checked.source == "reviewer":
            return
        self.decisions.tell(
            MODERATED,
            model=BLOCK_LIST if checked.source == "block-list" else self.judge.name,
            input={"contentId": content.contentId, "characters": len(content.text)},
            output={"verdict": checked.verdict, "source": checked.source, "categories": list(checked.categories)},
            confidence=checked.confidence,
        )


def _blocked(content: Content, hit: Hit) -> Checked:
    return Checked(
        contentId=content.contentId,
        verdict="refused",
        source="block-list",
        categories=[hit.category],
        # Not which phrase: that would help who tries to get round it.
        reason=REFUSED,
        confidence=1.0,
    )


def _ruled(content: Content, ruling: Ruling, id_: str) -> Checked:
    reason = ruling.note or (REFUSED if ruling.verdict == "refused" else "released after review")
    return Checked(contentId=content.contentId, verdict=ruling.verdict, source="reviewer", reason=reason, reviewId=id_)


def _judged(content: Content, judgement: Judgement) -> Checked:
    return Checked(
        contentId=content.contentId,
        verdict="refused" if judgement.harmful else "allowed",
        source="model",
        categories=judgement.categories,
        reason=judgement.reason,
        confidence=judgement.confidence,
    )
