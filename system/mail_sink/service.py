"""mail-sink: takes every mail by SMTP, sends none on, and shows them by HTTP. For development."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from aiosmtpd.smtp import SMTP, Envelope, Session
from fastapi import APIRouter, FastAPI, Query
from pydantic import BaseModel, Field

from system.kit import app, signals, telemetry
from system.kit.problem import ProblemError
from system.kit.settings import Settings
from system.mail_sink.mailbox import Mail, Mailbox

SERVICE = "mail-sink"
Limit = Annotated[int, Query(ge=1, le=1000)]


class SinkSettings(Settings):
    """`port` is that of HTTP. `mails_most` are kept, the newest; a mail may have `mail_limit_bytes`."""

    port: int = 8025
    smtp_port: int = 1025
    mails_most: Annotated[int, Field(ge=1)] = 100_000
    mail_limit_bytes: Annotated[int, Field(ge=1)] = 1_000_000


class Received(BaseModel):
    id: str
    correlationId: str


class Counts(BaseModel):
    """`repeated`: mails that came again and were kept once."""

    mails: int
    repeated: int


class Handler:
    """What aiosmtpd calls, by name."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        content = envelope.content or b""
        mail, new = self._mailbox.keep(content if isinstance(content, bytes) else content.encode(), envelope.rcpt_tos)
        outcome = "kept" if new else "repeated"
        signals.MAILS.labels(outcome).inc()
        with telemetry.correlated(telemetry.correlation_id(mail.correlationId)):
            telemetry.logger("receive").info(signals.LOG_MAIL, mailId=mail.id, outcome=outcome)
        return "250 OK"


def make(settings: SinkSettings) -> FastAPI:
    signals.announce_mails()
    mailbox = Mailbox(settings.mails_most)
    serving: list[asyncio.Server] = []

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        options: dict[str, Any] = {"hostname": SERVICE, "ident": SERVICE, "enable_SMTPUTF8": True, "loop": loop}

        def session() -> SMTP:
            return SMTP(Handler(mailbox), data_size_limit=settings.mail_limit_bytes, **options)

        async with await loop.create_server(session, settings.host, settings.smtp_port) as server:
            serving.append(server)
            yield

    async def listens(_app: FastAPI) -> None:
        if not serving[0].is_serving():
            raise ConnectionError("no SMTP")

    return app.create(SERVICE, settings, routers=[_routes(mailbox)], lifespan=lifespan, ready={"smtp": listens})


def _routes(mailbox: Mailbox) -> APIRouter:
    router = APIRouter()

    @router.get("/mails")
    async def mails(to: str | None = None, limit: Limit = 20) -> list[Mail]:
        return mailbox.find(to, limit)

    @router.get("/received")
    async def received(limit: Annotated[int, Query(ge=1, le=100_000)] = 10_000) -> list[Received]:
        """What `/mails` shows, in few words: enough to see that each came, and came once."""
        return [Received(id=mail.id, correlationId=mail.correlationId) for mail in mailbox.find(None, limit)]

    @router.get("/counts")
    async def counts() -> Counts:
        return Counts(mails=len(mailbox), repeated=mailbox.repeated)

    @router.get("/mails/{identifier}")
    async def mail(identifier: str) -> Mail:
        if found := mailbox.one(identifier):
            return found
        raise ProblemError(404, "there is no such mail")

    @router.delete("/mails", status_code=204)
    async def clear() -> None:
        mailbox.clear()

    return router
