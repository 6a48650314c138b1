"""One way to PostgreSQL: a pool that gives up in time and finds back after a restart, and migrations at start."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from system.kit import deadline, signals, telemetry

Row: TypeAlias = dict[str, Any]

STATEMENT_SECONDS = 1.5
START_SECONDS = 30.0


class Connection(psycopg.AsyncConnection[DictRow]):
    """Closes itself when a statement is given up.

    psycopg would ask the server to cancel it and wait ten seconds for one that
    does not answer. A server that does is rid of the statement by its own limit.
    """

    async def cancel_safe(self, *, timeout: float = 0.0) -> None:  # noqa: ARG002
        self.pgconn.finish()


Pool: TypeAlias = AsyncConnectionPool[Connection]


class DatabaseDownError(Exception):
    """The database did not answer in time, or not at all."""


@asynccontextmanager
async def pool(url: str, size: int = 10) -> AsyncIterator[Pool]:
    """Connections are checked before use, so that a restarted server costs no request an error.

    A connection attempt is given up after 2 s and made anew for the next request:
    the pool's own back-off would stay away for up to five minutes.
    """
    made: Pool = AsyncConnectionPool(
        url,
        connection_class=Connection,
        min_size=1,
        max_size=size,
        open=False,
        timeout=1.0,
        reconnect_timeout=2.0,
        check=AsyncConnectionPool.check_connection,
        kwargs={
            "row_factory": dict_row,
            "connect_timeout": 2,
            "options": f"-c statement_timeout={int(STATEMENT_SECONDS * 1000)}",
        },
    )
    async with made:
        yield made


@asynccontextmanager
async def transaction(of: Pool, seconds: float = STATEMENT_SECONDS) -> AsyncIterator[Connection]:
    """A connection in a transaction, for at most `seconds` and the request's deadline. Raises DatabaseDownError."""
    connected = False
    try:
        async with asyncio.timeout(deadline.remaining(seconds)), of.connection() as connection:
            connected = True
            yield connection
    except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, TimeoutError) as error:
        if not connected and isinstance(error, PoolTimeout | TimeoutError):
            signals.POOL_TIMEOUTS.inc()
        raise DatabaseDownError(str(error) or type(error).__name__) from error


async def answers(of: Pool) -> None:
    """Raises DatabaseDownError where a trivial statement is not answered."""
    async with transaction(of) as connection:
        await connection.execute("SELECT 1")


async def migrate(url: str, versions: Path) -> None:
    """Brings the schema to the newest of `versions` (files `0001_name.py`), waiting for the server at first.

    Alembic runs in a process of its own and only when there is something to do:
    it would cost each start half a second and the service 30 MB for good.
    """
    newest = _newest(versions)
    if await _schema(url) == newest:
        return
    telemetry.logger("migrate").info("migrating", to=newest)
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "system.kit.migrate", str(versions.parent), stdin=asyncio.subprocess.PIPE
    )
    # By a pipe: a command line, and so a password in it, is readable by all.
    await child.communicate(url.encode())
    if child.returncode:
        raise RuntimeError(f"migration to {newest} failed with exit code {child.returncode}")


def _newest(versions: Path) -> str:
    return max(file.name.partition("_")[0] for file in versions.glob("[0-9]*_*.py"))


async def _schema(url: str) -> str | None:
    """The version of the schema, None for an empty database. Waits for a server that is still starting."""
    async with asyncio.timeout(START_SECONDS):
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(url, connect_timeout=2) as connection:
                    row = await (await connection.execute("SELECT version_num FROM alembic_version")).fetchone()
                    return row[0] if row else None
            except psycopg.errors.UndefinedTable:
                return None
            except psycopg.OperationalError as error:
                telemetry.logger("migrate").warning("database_not_yet_there", error=str(error))
                await asyncio.sleep(0.2)
