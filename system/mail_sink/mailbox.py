"""The mails that came, each Message-ID once: who sends a mail again, unsure whether it came, does no harm."""

from __future__ import annotations

import email
import email.policy
import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime
from email.message import EmailMessage

from pydantic import BaseModel

HEADERS = ("from", "subject", "x-correlation-id")


class Mail(BaseModel):
    """`id` is the Message-ID without its brackets. `html` is "" for a mail of plain text alone."""

    id: str
    to: list[str]
    sender: str
    subject: str
    correlationId: str
    receivedAt: datetime
    text: str
    html: str


class Mailbox:
    """In memory, and of no use to anybody for whom a mail matters: the oldest go beyond `most`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._mails: OrderedDict[str, Mail] = OrderedDict()
        self.repeated = 0

    def __len__(self) -> int:
        return len(self._mails)

    def keep(self, content: bytes, recipients: Sequence[str]) -> tuple[Mail, bool]:
        """The mail, and whether it is new."""
        mail = read(content, recipients)
        if kept := self._mails.get(mail.id):
            self.repeated += 1
            return kept, False
        self._mails[mail.id] = mail
        if len(self._mails) > self._most:
            self._mails.popitem(last=False)
        return mail, True

    def find(self, to: str | None, limit: int) -> list[Mail]:
        """Newest first."""
        found = [mail for mail in reversed(self._mails.values()) if to in (None, *mail.to)]
        return found[:limit]

    def one(self, identifier: str) -> Mail | None:
        return self._mails.get(identifier)

    def clear(self) -> None:
        self._mails.clear()
        self.repeated = 0


def read(content: bytes, recipients: Sequence[str]) -> Mail:
    """A mail without a Message-ID goes by what it says."""
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)  # noqa: S101  the policy makes no other
    identifier = str(message["message-id"] or "").strip().strip("<>") or hashlib.sha256(content).hexdigest()
    sender, subject, correlation = (str(message[name] or "") for name in HEADERS)
    return Mail(
        id=identifier,
        to=list(recipients),
        sender=sender,
        subject=subject,
        correlationId=correlation,
        receivedAt=datetime.now(UTC),
        text=_part(message, "plain"),
        html=_part(message, "html"),
    )


def _part(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    return str(part.get_content()) if part else ""
