"""Asks a port whether anything answers there, past any proxy."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from enum import StrEnum

from gameday.runtime import Endpoint

# No protocol's request: HTTP, Redis, PostgreSQL and AMQP servers all answer it with
# an error or hang up, and none of them counts it as a request of its application.
_QUESTION = b"gameday\r\n\r\n"


class Answer(StrEnum):
    REFUSED = "refused"
    SILENT = "silent"
    ANSWERED = "answered"


async def ask(endpoint: Endpoint, patience: float = 0.3) -> Answer:
    """SILENT after `patience` seconds without a byte. Hanging up is an answer too."""
    try:
        async with asyncio.timeout(patience):
            return await _ask(endpoint)
    except TimeoutError:
        return Answer.SILENT
    except ConnectionRefusedError:
        return Answer.REFUSED
    except OSError:
        return Answer.ANSWERED


async def _ask(endpoint: Endpoint) -> Answer:
    reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
    try:
        writer.write(_QUESTION)
        await reader.read(1)
        return Answer.ANSWERED
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
