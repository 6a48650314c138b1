"""What a model decided, and how the audit trail is told of it without a request ever waiting for that."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any, Protocol, Self
from uuid import UUID, uuid4

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationError,
    model_validator,
)

from system.kit import signals, telemetry
from system.kit.client import UnavailableError

EVENT = "ai-decisions"
RECOMMENDED = "RECOMMENDATION_GENERATED"
SEARCHED = "SEARCH_RESULTS_RANKED"
CHATTED = "CHAT_ANSWER_GENERATED"
MODERATED = "CONTENT_MODERATED"

# What waits for a broker that is away: a minute of a busy service, some ten megabytes.
CAPACITY = 10_000
# Published together; each waits for the broker's disk.
AT_ONCE = 64
AGAIN_SECONDS = 0.5
DRAIN_SECONDS = 2.0


class Personal:
    """Marks a field that says something about a person: it must be possible to forget it."""


def _name(longest: int, pattern: str) -> StringConstraints:
    return StringConstraints(min_length=1, max_length=longest, pattern=pattern)


# Anything that prints, so that it can be stored, shown and compared.
Name = Annotated[str, _name(128, r"^[^\x00-\x1f]+$")]


class Decision(BaseModel):
    """One decision of one model. docs/audit.md defines the types and, for each, what its `confidence` means.

    None for `userId`: for nobody, or nobody known. None for `confidence`: no model had a say.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    id: UUID
    type: Annotated[str, _name(64, r"^[A-Z][A-Z_]*$")]
    userId: Annotated[Name | None, Personal()] = None
    model: Name
    input: Annotated[dict[str, JsonValue], Personal()]
    output: Annotated[dict[str, JsonValue], Personal()]
    confidence: Annotated[float, Field(ge=0, le=1)] | None
    timestamp: AwareDatetime

    @model_validator(mode="after")
    def _storable(self) -> Self:
        canonical(self.personal())
        return self

    def personal(self) -> dict[str, Any]:
        """The fields that are marked as personal."""
        marked = (name for name, field in type(self).model_fields.items() if _is_personal(field.metadata))
        return {name: getattr(self, name) for name in marked}

    @property
    def occurred_at(self) -> datetime:
        return self.timestamp.astimezone(UTC)


class Publisher(Protocol):
    async def publish(
        self,
        event: str,
        body: BaseModel,
        *,
        message_id: UUID,
        headers: Mapping[str, str] | None = None,
        occurred: datetime | None = None,
    ) -> None:
        """Returns once the broker has confirmed. Raises UnavailableError, and ValueError for what is too large."""


@dataclass(frozen=True)
class _Told:
    id: UUID
    headers: Mapping[str, str]
    fields: Mapping[str, Any]


class Decisions:
    """Takes decisions at once and publishes them in the background for as long as the block lasts.

    While the broker is away, `capacity` of them wait; what comes beyond that is
    dropped, and counted. Without a `bus` nothing is told.
    """

    def __init__(self, bus: Publisher | None, capacity: int = CAPACITY) -> None:
        self._bus = bus
        self._capacity = capacity
        # In the order in which they came. What is being published stays here until it is confirmed.
        self._waiting: dict[UUID, _Told] = {}
        self._something = asyncio.Event()
        self._ending = False
        self._running: asyncio.Task[None] | None = None
        signals.announce_decisions()

    def tell(
        self,
        kind: str,
        *,
        model: str,
        input: Mapping[str, Any],
        output: Mapping[str, Any],
        confidence: float | None,
        user: str | None = None,
    ) -> None:
        """Raises nothing and waits for nothing. Without `user` it is the one for whom the request was made."""
        if self._bus is None:
            return
        if len(self._waiting) >= self._capacity:
            signals.DECISIONS.labels("full").inc()
            return
        fields = {
            "type": kind,
            "userId": user or telemetry.USER_ID.get() or None,
            "model": model,
            "input": input,
            "output": output,
            "confidence": confidence,
            "timestamp": datetime.now(UTC),
        }
        told = _Told(uuid4(), telemetry.outgoing_headers(), fields)
        self._waiting[told.id] = told
        self._something.set()

    async def __aenter__(self) -> Self:
        if self._bus is not None:
            self._running = asyncio.create_task(self._publish(self._bus), name="decisions")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Publishes what waits, if that is soon done."""
        self._ending = True
        self._something.set()
        if self._running is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._running, DRAIN_SECONDS)
        signals.DECISIONS.labels("stopped").inc(len(self._waiting))

    async def _publish(self, bus: Publisher) -> None:
        while self._waiting or not self._ending:
            await self._something.wait()
            batch = list(islice(self._waiting.values(), AT_ONCE))
            await asyncio.gather(*(self._told(bus, each) for each in batch))
            if any(each.id in self._waiting for each in batch):
                await asyncio.sleep(AGAIN_SECONDS)
            elif not self._waiting:
                self._something.clear()

    async def _told(self, bus: Publisher, told: _Told) -> None:
        """What could not be published keeps waiting."""
        outcome: signals.Telling = "published"
        try:
            decision = Decision(id=told.id, **told.fields)
            await bus.publish(EVENT, decision, message_id=told.id, headers=told.headers, occurred=decision.timestamp)
        except UnavailableError:
            return
        except ValueError as error:
            outcome = "invalid"
            telemetry.logger("decide").error(signals.LOG_DECISION, type=told.fields["type"], error=_briefly(error))
        except Exception as error:  # noqa: BLE001  whatever it is, it must not end the telling
            telemetry.logger("decide").error(signals.LOG_DECISION, exc_info=error)
            return
        del self._waiting[told.id]
        signals.DECISIONS.labels(outcome).inc()


def _briefly(error: ValueError) -> str:
    """Without the input, which is personal."""
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
    return str(error)


def canonical(value: Any) -> str:
    """JSON of which there is one spelling, so that it can be hashed. Raises ValueError for what is no JSON."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _is_personal(metadata: list[Any]) -> bool:
    return any(isinstance(mark, Personal) for mark in metadata)
