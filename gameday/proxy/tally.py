"""The counters of one wire while they grow. Their meaning: `gameday.runtime.Counters`."""

from __future__ import annotations

from dataclasses import dataclass

from gameday.runtime import Endpoint


@dataclass(slots=True)
class Tally:
    connections: int = 0
    requests: int = 0
    attempts: int = 0
    refused: int = 0
    met: int = 0
    unanswered: int = 0
    bytes_up: int = 0
    bytes_down: int = 0


@dataclass(slots=True)
class Upstream:
    """One of the provider's replicas, and what it alone left its consumers without."""

    endpoint: Endpoint
    refused: int = 0
    unanswered: int = 0
