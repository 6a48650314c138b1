"""What to recommend to a user: features, then the model, then what is popular where neither knows the user."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from system.kit import deadline, signals, telemetry
from system.kit.client import UnavailableError
from system.recommendation.batcher import Batcher
from system.recommendation.features import Features
from system.recommendation.model import Model, Query, Scored
from system.recommendation.serving import Serving

SERVICE = "recommendation-svc"
MODEL = "ease"
# Seconds that an answer may take where the caller says nothing.
LONGEST = 5.0


@dataclass(frozen=True)
class Recommendations:
    """`source` is "popular" for a user of whom nothing is known."""

    items: list[Scored]
    model_version: str
    source: Literal["model", "popular"]


class Recommender:
    def __init__(self, serving: Serving, features: Features, *, max_batch: int, max_wait: float) -> None:
        self._serving = serving
        self._features = features
        self._executor = ThreadPoolExecutor(1, "model")
        self._batcher = Batcher(_predict, self._executor, max_batch=max_batch, max_wait=max_wait)

    async def recommend(self, user: str, limit: int) -> Recommendations:
        """Raises TimeoutError when the caller's deadline passes."""
        model = self._serving.model
        with telemetry.TRACER.start_as_current_span(signals.SPAN_GET_RECOMMENDATIONS) as span:
            span.set_attributes({"user.id": user, "model.version": model.version})
            async with asyncio.timeout(deadline.remaining(LONGEST)):
                history = await self._history(model, user)
                if not history:
                    return Recommendations(model.popular(limit), model.version, "popular")
                return Recommendations(await self._best(model, history, limit), model.version, "model")

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

    async def _history(self, model: Model, user: str) -> tuple[int, ...]:
        with telemetry.TRACER.start_as_current_span(signals.SPAN_FETCH_FEATURES) as span:
            try:
                likes = await self._features.likes(user)
            except UnavailableError:
                likes = []
            span.set_attribute("features.likes", len(likes))
            return tuple(dict.fromkeys((*(model.history(user) or ()), *model.indices(likes))))

    async def _best(self, model: Model, history: tuple[int, ...], limit: int) -> list[Scored]:
        with telemetry.TRACER.start_as_current_span(signals.SPAN_MODEL_PREDICT) as span:
            span.set_attribute("model.version", model.version)
            started = time.perf_counter()
            best = await self._batcher.ask((model, Query(history, limit)))
            signals.INFERENCE_DURATION.labels(MODEL, SERVICE).observe(time.perf_counter() - started)
            return best


def _predict(asked: Sequence[tuple[Model, Query]]) -> list[list[Scored]]:
    """One run for each model in the batch: there are two only while one replaces the other."""
    answers: dict[int, list[Scored]] = {}
    for model in dict.fromkeys(model for model, _ in asked):
        rows = [row for row, (wanted, _) in enumerate(asked) if wanted is model]
        answers |= zip(rows, model.predict([asked[row][1] for row in rows]), strict=True)
    return [answers[row] for row in range(len(asked))]
