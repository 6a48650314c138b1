"""The states of api-gateway, and the tasks that it publishes, for the verification of contracts."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID, uuid4

from fastapi import FastAPI

from system.gateway.taskbook import Taken
from system.gateway.tasks import Tasks
from system.kit.bus import Bus
from system.kit.states import Captured, Make, Params, State


def _tasks(app: FastAPI) -> Tasks:
    found: Tasks | None = app.state.gateway.tasks
    if found is None:
        raise ValueError("no tasks are taken here: WEBHOOK_SECRET is not set")
    return found


async def _take(app: FastAPI, params: Params) -> Mapping[str, Any]:
    """Gives the headers that a callback with `outcome` has now: a signature is good for minutes only."""
    outcome = params["outcome"]
    taken = _taken(UUID(outcome["taskId"]), UUID(outcome["documentId"]))
    await _tasks(app).book.open(taken)
    # As verifiers write it.
    body = json.dumps(outcome, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    signed = _tasks(app).secrets.sign(str(taken.id), int(time.time()), body)
    return {name.removeprefix("webhook-"): value for name, value in signed.items()}


async def _forget(app: FastAPI, params: Params) -> None:
    await _tasks(app).book.forget(UUID(params["outcome"]["taskId"]))


async def _task(app: FastAPI) -> bytes:
    captured, taken = Captured(), _taken(uuid4(), uuid4())
    await replace(_tasks(app), bus=cast("Bus", captured)).take(taken)
    await _tasks(app).book.forget(taken.id)
    return captured.only


def _taken(task: UUID, document: UUID) -> Taken:
    return Taken(id=task, owner="pact", type="generate-summary", documentId=document, takenAt=datetime.now(UTC))


STATES: Mapping[str, State] = {"a task is under way": State(_take, _forget)}
MESSAGES: Mapping[str, Make] = {"a task": _task}
