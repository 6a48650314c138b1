"""Events, written in the transaction of what they tell of: either both are there or neither is.

Who publishes them reads `outbox` in the order of `number` and sets `published_at`.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from psycopg.types.json import Jsonb

from system.kit import telemetry
from system.kit.database import Connection

PURCHASED = "user.purchased"
CONTENT_CREATED = "user.content_created"


async def tell(connection: Connection, kind: str, payload: Mapping[str, Any]) -> None:
    """`headers` carry trace and correlation id, so that a consumer goes on with them."""
    await connection.execute(
        "INSERT INTO outbox (id, type, payload, headers) VALUES (%s, %s, %s, %s)",
        (uuid.uuid4(), kind, Jsonb(dict(payload)), Jsonb(telemetry.outgoing_headers())),
    )
