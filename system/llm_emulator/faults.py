"""Ways in which a provider of language models misbehaves, switched on for a while by the admin API.

A fault touches a request at one or more of four moments; what it does not
override it leaves alone. It takes itself away at the end of its time to live.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from system.llm_emulator.errors import ApiError
from system.llm_emulator.events import identifier
from system.llm_emulator.latency import Latency
from system.llm_emulator.reply import Reply


class Cut(Exception):
    """The connection ends here, without a word."""


class Fault(BaseModel):
    """The attributes of a fault are its fields; unknown ones are refused."""

    model_config = ConfigDict(extra="forbid")

    def admit(self) -> None:
        """Before anything else. Raises ApiError."""

    def latency(self, latency: Latency) -> Latency:
        return latency

    def reply(self, reply: Reply) -> Reply:
        return reply

    def frame(self, number: int, frame: bytes) -> bytes:
        """Each piece of an answer as it leaves, counted from 0: an event, or a whole message. Raises Cut."""
        del number
        return frame


class Overloaded(Fault):
    """529 at each request."""

    retry_after: Annotated[int, Field(ge=0)] | None = None

    def admit(self) -> None:
        headers = {} if self.retry_after is None else {"retry-after": str(self.retry_after)}
        raise ApiError("overloaded_error", "Overloaded", headers)


class RateLimit(Fault):
    """429 at each request, to be tried again after `retry_after` seconds."""

    retry_after: Annotated[int, Field(ge=0)] = 1

    def admit(self) -> None:
        raise ApiError(
            "rate_limit_error",
            "This request would exceed your account's rate limit. Please try again later.",
            {"retry-after": str(self.retry_after)},
        )


class SlowFirstToken(Fault):
    """The first token comes `seconds` later."""

    seconds: Annotated[float, Field(gt=0)] = 10.0

    def latency(self, latency: Latency) -> Latency:
        return replace(latency, first_token=latency.first_token + self.seconds)


class CutStream(Fault):
    """The connection ends after `events` events; a whole message is not sent at all."""

    events: Annotated[int, Field(ge=0)] = 5

    def frame(self, number: int, frame: bytes) -> bytes:
        if number >= self.events or not frame.startswith(b"event:"):
            raise Cut
        return frame


class Malformed(Fault):
    """From the event number `after` on, what is sent is no JSON."""

    after: Annotated[int, Field(ge=0)] = 4

    def frame(self, number: int, frame: bytes) -> bytes:
        if number < self.after and frame.startswith(b"event:"):
            return frame
        head, brace, rest = frame.partition(b"{")
        return head + brace + brace + rest


class TokenBurn(Fault):
    """Answers are `factor` times as long and are billed so; a tool's input is only billed so."""

    factor: Annotated[int, Field(ge=2, le=1000)] = 20

    def reply(self, reply: Reply) -> Reply:
        pieces = reply.pieces * self.factor if reply.kind == "text" else reply.pieces
        return replace(reply, pieces=pieces, output_tokens=reply.output_tokens * self.factor)


FAULTS: dict[str, type[Fault]] = {
    "overloaded": Overloaded,
    "rate-limit": RateLimit,
    "slow-first-token": SlowFirstToken,
    "cut-stream": CutStream,
    "malformed": Malformed,
    "token-burn": TokenBurn,
}


@dataclass
class InForce:
    """`met` counts the requests that the fault touched; `until` is on the clock of its owner."""

    name: str
    fault: Fault
    until: float
    toxicity: float
    id: str = field(default_factory=lambda: identifier("fault"))
    met: int = 0

    def told(self, now: float) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": self.name,
            "attributes": self.fault.model_dump(),
            "toxicity": self.toxicity,
            "ttl": round(self.until - now, 3),
            "met": self.met,
        }


class Faults:
    """The faults in force. `toxicity` is the share of requests that a fault touches."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._all: dict[str, InForce] = {}
        self._draw = random.Random(0)  # noqa: S311 - no secret

    def add(self, name: str, attributes: dict[str, Any], ttl: float, toxicity: float = 1.0) -> dict[str, Any]:
        """`ttl` in seconds. Raises KeyError for an unknown name, pydantic's ValidationError for attributes."""
        fault = FAULTS[name].model_validate(attributes)
        added = InForce(name, fault, self._clock() + ttl, toxicity)
        self._all[added.id] = added
        return added.told(self._clock())

    def remove(self, id_: str) -> dict[str, Any] | None:
        """What was removed; None where there is nothing, or nothing any more."""
        removed = self._all.pop(id_, None)
        return removed.told(self._clock()) if removed else None

    def told(self) -> list[dict[str, Any]]:
        return [found.told(self._clock()) for found in self._living()]

    def touching(self) -> list[Fault]:
        """The faults that the next request meets."""
        met = [found for found in self._living() if self._draw.random() < found.toxicity]
        for found in met:
            found.met += 1
        return [found.fault for found in met]

    def _living(self) -> Iterator[InForce]:
        now = self._clock()
        self._all = {id_: found for id_, found in self._all.items() if found.until > now}
        return iter(self._all.values())
