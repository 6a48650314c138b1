"""Mails given to an SMTP server, and whose fault it is where that fails."""

from __future__ import annotations

import time
from email.message import EmailMessage

import aiosmtplib

from system.kit import deadline, signals, telemetry
from system.kit.client import UnavailableError

EDGE = "notification-svc->mail-sink"
SERVICE = "notification-svc"
# SMTP's own border between "not now" and "never".
PERMANENT = 500
CLOSING = 421


class RefusedError(Exception):
    """The server takes this mail never."""


class LaterError(Exception):
    """The server does not take this mail now."""


class Post:
    """`timeout` in seconds, for all of a mail."""

    def __init__(self, host: str, port: int, timeout: float) -> None:
        self._host = host
        self._port = port
        self._timeout = timeout
        signals.announce_edge(EDGE, falls_back=False)

    async def send(self, message: EmailMessage) -> None:
        """Raises RefusedError, LaterError, or UnavailableError, after which the server may or may not have it."""
        started = time.monotonic()
        try:
            async with deadline.Timeout(deadline.remaining(self._timeout)):
                await aiosmtplib.send(
                    message, hostname=self._host, port=self._port, timeout=self._timeout, local_hostname=SERVICE
                )
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            signals.EDGE_REQUESTS.labels(EDGE, "failure").inc()
            problem = _meaning(error)
            telemetry.logger().warning(signals.LOG_EDGE_FAILURE, edge=EDGE, error=str(problem))
            raise problem from error
        signals.EDGE_REQUESTS.labels(EDGE, "success").inc()
        signals.EDGE_DURATION.labels(EDGE).observe(time.monotonic() - started)


def _meaning(error: Exception) -> Exception:
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        # One recipient a mail.
        error = error.recipients[0]
    if isinstance(error, TimeoutError):
        return UnavailableError(EDGE, "timeout")
    # What says that the server cannot be reached has a code too, and none of the mail's.
    lost = isinstance(error, (aiosmtplib.SMTPConnectError, aiosmtplib.SMTPServerDisconnected))
    if lost or not isinstance(error, aiosmtplib.SMTPResponseException) or error.code == CLOSING:
        return UnavailableError(EDGE, "connection", f"{type(error).__name__}: {error}")
    said = f"{error.code} {error.message}"
    return RefusedError(said) if error.code >= PERMANENT else LaterError(said)
