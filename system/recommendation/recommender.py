"""What to recommend to a user: features, then the model, then what is popular where neither knows the user."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import structlog
from pydantic import TypeAdapter, ValidationError

from system.kit import deadline, signals, telemetry
from system.kit.client import UnavailableError
from system.kit.decisions import RECOMMENDED, Decisions
from system.kit.together import Together
from system.recommendation.features import Asked, Features, Known
from system.recommendation.model import Model, Query, Scored
from system.recommendation.serving import Serving

SERVICE = "recommendation-svc"
MODEL = "ease"
# Who decided where no model had a say.
POPULAR = "popular"
# Under which the answers that are kept are counted.
ROUTE = "/recommend"
# Seconds that an answer may take where the caller says nothing.
LONGEST = 5.0


@dataclass(frozen=True, slots=True)
class Recommendations:
    """`source` is "popular" for a user of whom nothing is known."""

    items: list[Scored]
    model_version: str
    source: Literal["model", "popular"]


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer with the likes that it was made from: with others it is none."""

    likes: list[str]
    items: list[Scored]


KEPT = TypeAdapter(Kept)


class Recommender:
    def __init__(
        self, serving: Serving, features: Features, decisions: Decisions, *, max_batch: int, max_wait: float
    ) -> None:
        self._serving = serving
        self._features = features
        self._decisions = decisions
        self._executor = ThreadPoolExecutor(1, "model")
        self._predict: Together[tuple[Model, Query], list[Scored]] = Together(self._run, max_batch, max_wait)
        signals.announce_cache(ROUTE)

    async def recommend(self, user: str, limit: int) -> Recommendations:
        """Raises TimeoutError when the caller's deadline passes."""
        model = self._serving.model
        asked = Asked(user, model.version, limit)
        with telemetry.TRACER.start_as_current_span(signals.SPAN_GET_RECOMMENDATIONS) as span:
            span.set_attributes({"user.id": user, "model.version": model.version})
            async with asyncio.timeout(deadline.remaining(LONGEST)):
                known = await self._known(asked)
                kept = _kept(known)
                structlog.contextvars.bind_contextvars(
                    userId=user, modelVersion=model.version, cacheHit=kept is not None
                )
                if kept is not None:
                    return Recommendations(kept, model.version, "model")
                history = model.history(user, known.likes if known else ())
                if not len(history):
                    return self._told(asked, Recommendations(model.popular(limit), model.version, "popular"))
                items = await self._best(model, Query(history, limit))
            if known:
                await self._keep(asked, Kept(known.likes, items))
            return self._told(asked, Recommendations(items, model.version, "model"))

    def popular(self, limit: int) -> Recommendations:
        model = self._serving.model
        return Recommendations(model.popular(limit), model.version, "popular")

    async def like(self, user: str, items: Sequence[str]) -> list[str]:
        """Remembers what `user` likes and returns the items that there are not. Raises UnavailableError."""
        unknown = [item for item in items if not self._serving.model.knows(item)]
        if not unknown:
            await self._features.like(user, items)
        return unknown

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _told(self, asked: Asked, found: Recommendations) -> Recommendations:
        """Tells what was decided. What is popular is no decision for nobody; an answer that was kept was told then."""
        by_model = found.source == "model"
        if by_model or telemetry.USER_ID.get():
            self._decisions.tell(
                RECOMMENDED,
                model=found.model_version if by_model else POPULAR,
                input={"limit": asked.limit},
                output={"items": [item.id for item in found.items], "source": found.source},
                confidence=_mean(found.items) if by_model else None,
                user=asked.user,
            )
        return found

    async def _known(self, asked: Asked) -> Known | None:
        """None where the store does not answer."""
        with telemetry.TRACER.start_as_current_span(signals.SPAN_FETCH_FEATURES) as span:
            try:
                known = await self._features.known(asked)
            except UnavailableError:
                signals.CACHE_REQUESTS.labels(ROUTE, "error").inc()
                return None
            span.set_attribute("features.likes", len(known.likes))
            return known

    async def _best(self, model: Model, query: Query) -> list[Scored]:
        with telemetry.TRACER.start_as_current_span(signals.SPAN_MODEL_PREDICT) as span:
            span.set_attribute("model.version", model.version)
            started = time.perf_counter()
            best = await self._predict((model, query))
            signals.INFERENCE_DURATION.labels(MODEL, SERVICE).observe(time.perf_counter() - started)
            return best

    async def _run(self, asked: Sequence[tuple[Model, Query]]) -> list[list[Scored]]:
        return await asyncio.get_running_loop().run_in_executor(self._executor, _predict, asked)

    async def _keep(self, asked: Asked, answer: Kept) -> None:
        with suppress(UnavailableError):
            # Counted and logged by the store; the answer itself is fine.
            await self._features.keep(asked, KEPT.dump_json(answer).decode())


def _kept(known: Known | None) -> list[Scored] | None:
    """What was recommended before, if it still may be."""
    if known is None:
        return None
    with suppress(ValidationError):
        kept = KEPT.validate_json(known.answer or "null")
        if kept.likes == known.likes:
            signals.CACHE_REQUESTS.labels(ROUTE, "hit").inc()
            return kept.items
    signals.CACHE_REQUESTS.labels(ROUTE, "miss").inc()
    return None


def _mean(items: Sequence[Scored]) -> float | None:
    """Of the scores, each limited to 0..1; None for no items."""
    return sum(min(max(item.score, 0.0), 1.0) for item in items) / len(items) if items else None


def _predict(asked: Sequence[tuple[Model, Query]]) -> list[list[Scored]]:
    """One run for each model in the batch: there are two only while one replaces the other."""
    answers: dict[int, list[Scored]] = {}
    for model in dict.fromkeys(model for model, _ in asked):
        rows = [row for row, (wanted, _) in enumerate(asked) if wanted is model]
        answers |= zip(rows, model.predict([asked[row][1] for row in rows]), strict=True)
    return [answers[row] for row in range(len(asked))]
