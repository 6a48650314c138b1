"""Finds items by their words and by their meaning, and by their words alone while the meaning cannot be had."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import islice

from system.kit import database, signals, telemetry
from system.kit.client import UnavailableError
from system.kit.decisions import SEARCHED, Decisions
from system.search import fusion, items
from system.search.embedding import Embedding
from system.search.models import Found, Item
from system.search.vectors import VectorStore

# How far down each ranking is looked: more than the longest answer, so that what both know only a little about
# can still come out ahead.
DEPTH = 100
# Who decided where the meaning had no say.
WORDS = "words"


class Searcher:
    def __init__(self, pool: database.Pool, embedding: Embedding, vectors: VectorStore, decisions: Decisions) -> None:
        self._pool = pool
        self._embedding = embedding
        self._vectors = vectors
        self._decisions = decisions

    def telling(self, decisions: Decisions) -> Searcher:
        """One that tells what it decided elsewhere."""
        return Searcher(self._pool, self._embedding, self._vectors, decisions)

    async def search(self, query: str, limit: int) -> Found:
        """Raises DatabaseDownError."""
        with telemetry.TRACER.start_as_current_span(signals.SPAN_SEARCH_ITEMS) as span:
            by_words, by_meaning = await asyncio.gather(self._by_words(query), self._by_meaning(query))
            best = fusion.fuse([by_meaning or [], by_words])
            found = Found(items=await self._told(best, limit), source="fallback" if by_meaning is None else "hybrid")
            span.set_attribute("search.source", found.source)
            self._tell(query, limit, found, agreement(found.items, by_words, by_meaning))
            return found

    def _tell(self, query: str, limit: int, found: Found, confidence: float | None) -> None:
        self._decisions.tell(
            SEARCHED,
            model=WORDS if found.source == "fallback" else str(self._embedding.version),
            input={"query": query, "limit": limit},
            output={"items": [item.id for item in found.items], "source": found.source},
            confidence=confidence,
        )

    async def _by_words(self, query: str) -> list[str]:
        with telemetry.TRACER.start_as_current_span(signals.SPAN_MATCH_WORDS):
            async with database.transaction(self._pool) as connection:
                return await items.matching(connection, query, DEPTH)

    async def _by_meaning(self, query: str) -> list[str] | None:
        """None where it cannot be had now."""
        try:
            vector = await self._embedding.embed(query)
            with telemetry.TRACER.start_as_current_span(signals.SPAN_FIND_NEAREST):
                return await self._vectors.nearest(vector, DEPTH)
        except UnavailableError as error:
            signals.FALLBACK.labels(error.edge, error.reason).inc()
            telemetry.logger("search").warning(signals.LOG_FALLBACK, edge=error.edge, reason=error.reason)
            return None

    async def _told(self, scores: dict[str, float], limit: int) -> list[Item]:
        async with database.transaction(self._pool) as connection:
            titles = await items.titles(connection, list(scores))
        told = ((item, score) for item, score in scores.items() if item in titles)
        return [Item(id=item, title=titles[item], score=round(score, 6)) for item, score in islice(told, limit)]


def agreement(found: Sequence[Item], by_words: Sequence[str], by_meaning: Sequence[str] | None) -> float | None:
    """The share of what was found that both rankings have; None where there is one ranking, or nothing was found."""
    if by_meaning is None or not found:
        return None
    both = {*by_words} & {*by_meaning}
    return sum(item.id in both for item in found) / len(found)
