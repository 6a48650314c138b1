"""The states of recommendation-svc, and what it tells of a recommendation, for the verification of contracts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

from system.kit.decisions import Decisions
from system.kit.states import Captured, Enter, Make, Params, State
from system.recommendation.features import Features
from system.recommendation.recommender import Recommender
from system.recommendation.serving import Serving

DECIDER = "pact-decision"


def states(serving: Serving, features: Features) -> Mapping[str, State]:
    def liking(items: int) -> Enter:
        async def enter(_app: FastAPI, params: Params) -> Mapping[str, Any]:
            if items:
                await features.like(str(params["userId"]), serving.model.item_ids[:items])
            return {"modelVersion": serving.model.version}

        return enter

    async def leave(_app: FastAPI, params: Params) -> None:
        await features.forget(str(params["userId"]))

    return {
        "a user who likes some items": State(liking(3), leave),
        "a user of whom nothing is known": State(liking(0), leave),
    }


def messages(serving: Serving, features: Features) -> Mapping[str, Make]:
    async def recommended(_app: FastAPI) -> bytes:
        captured = Captured()
        await features.like(DECIDER, serving.model.item_ids[:3])
        async with Decisions(captured) as told:
            recommender = Recommender(serving, features, told, max_batch=1, max_wait=0)
            await recommender.recommend(DECIDER, 5)
            recommender.close()
        await features.forget(DECIDER)
        return captured.only

    return {"a recommendation for a user": recommended}
