"""What a model decided, and how the audit trail is told of it without a request ever waiting for that."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from time import thread_time
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
from system.kit.bus import Bus
from system.kit.client import UnavailableError

EVENT = "ai-decisions"
RECOMMENDED = "RECOMMENDATION_GENERATED"
SEARCHED = "SEARCH_RESULTS_RANKED"
CHATTED = "CHAT_ANSWER_GENERATED"
MODERATED = "CONTENT_MODERATED"

# What waits for a broker that is away: a minute of a busy service, some ten megabytes.
CAPACITY = 10_000
# Published together, as each waits for the broker's disk: so few that no request waits two milliseconds for them.
AT_ONCE = 16
AGAIN_SECONDS = 0.5
# After each batch the telling rests for a multiple of the processor time that passed meanwhile, requests' included: who
# has much to answer tells slowly, and what has piled up is no burden to whoever asks now.
REST, LONGEST_REST_SECONDS = 2.0, 0.1
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


def bus(service: str, broker_url: str | None) -> Bus | None:
    """What `service` tells its decisions over; None without an address: nothing is told then."""
    return Bus(service, broker_url, publishes=[EVENT]) if broker_url else None


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
        self._ending = asyncio.Event()
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
        self._ending.set()
        self._something.set()
        if self._running is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._running, DRAIN_SECONDS)
        signals.DECISIONS.labels("stopped").inc(len(self._waiting))

    async def _publish(self, bus: Publisher) -> None:
        most = AT_ONCE
        while self._waiting or not self._ending.is_set():
            await self._something.wait()
            began = thread_time()
            batch = list(islice(self._waiting.values(), most))
            heard = await asyncio.gather(*(self._told(bus, each) for each in batch))
            # One is enough to find out that the broker is back.
            most = AT_ONCE if all(heard) else 1
            if any(each.id in self._waiting for each in batch):
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            if not self._waiting:
                self._something.clear()
            await self._rest(REST * (thread_time() - began))

    async def _rest(self, seconds: float) -> None:
        """Not at the end: then nobody else has anything to do here."""
        with suppress(TimeoutError):
            async with asyncio.timeout(min(seconds, LONGEST_REST_SECONDS)):
                await self._ending.wait()

    async def _told(self, bus: Publisher, told: _Told) -> bool:
        """Whether the broker is there. What could not be published keeps waiting."""
        outcome: signals.Telling = "published"
        try:
            decision = Decision(id=told.id, **told.fields)
            await bus.publish(EVENT, decision, message_id=told.id, headers=told.headers, occurred=decision.timestamp)
        except UnavailableError:
            return False
        except ValueError as error:
            outcome = "invalid"
            telemetry.logger("decide").error(signals.LOG_DECISION, type=told.fields["type"], error=_briefly(error))
        except Exception as error:  # noqa: BLE001  whatever it is, it must not end the telling
            telemetry.logger("decide").error(signals.LOG_DECISION, exc_info=error)
            # Behind the others, who may have better luck.
            self._waiting[told.id] = self._waiting.pop(told.id)
            return True
        del self._waiting[told.id]
        signals.DECISIONS.labels(outcome).inc()
        return True


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
