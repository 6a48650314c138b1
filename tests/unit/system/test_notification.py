"""notification-svc without its stores: what a mail says, and what it is told by its environment."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from pathlib import Path

import aiosmtplib
import pytest
from pydantic import ValidationError

from system.kit.client import UnavailableError
from system.mail_sink.mailbox import Mailbox
from system.notification import letters, post
from system.notification.jobs import Job
from system.notification.recommendations import Item, Recommended
from system.notification.settings import NotificationSettings
from system.notification.worker import Insistence

SYSTEM = Path(letters.__file__).parents[1]
RECOMMENDED = Recommended(source="model", items=[Item(id="item-1", title="<Tent>")])


def job() -> Job:
    return Job(id=uuid.uuid4(), user="u", item="item-7", quantity=2, occurred=datetime.now(UTC))


def settings(**more: object) -> NotificationSettings:
    needed = {
        "broker_url": "amqp://b/",
        "store_url": "redis://s",
        "user_url": "http://u",
        "smtp_url": "smtp://mail:25",
        "recommendation_grpc_url": "grpc://r:50051",
    }
    return NotificationSettings.model_validate({**needed, **more})


def test_what_two_services_know_is_the_same_in_both() -> None:
    """Services do not import each other, so each has the file."""
    for name, owner in (("recommendation.proto", "recommendation"), ("popular.json", "gateway")):
        assert (SYSTEM / "notification" / name).read_bytes() == (SYSTEM / owner / name).read_bytes()


def test_a_letter_has_the_events_id_whoever_writes_it_and_escapes_what_it_is_told() -> None:
    event = job()
    first, again = (letters.purchase(event, "shop@x.example", "ada@x.example", n, RECOMMENDED) for n in ("Ada", "<i>"))
    assert first["message-id"] == again["message-id"] == f"<{event.id}@notification-svc>"
    mailbox = Mailbox(10)
    assert mailbox.keep(first.as_bytes(), ["ada@x.example"])[1]
    mail, new = mailbox.keep(again.as_bytes(), ["ada@x.example"])
    assert not new
    assert (len(mailbox), mailbox.repeated) == (1, 1)
    assert "2 x item-7" in mail.text
    assert "- <Tent> (item-1)" in mail.text
    assert "Recommended for you" in mail.text
    assert "&lt;Tent&gt;" in mail.html
    assert "<Tent>" not in mail.html


@pytest.mark.parametrize("name", ["Ada\nBcc: eve@x.example", "Ada\r\n"])
def test_a_name_makes_no_header(name: str) -> None:
    with pytest.raises(ValueError, match=r"invalid|CR or LF"):
        letters.purchase(job(), "shop@x.example", "ada@x.example", name, RECOMMENDED)


def test_the_oldest_mails_go() -> None:
    mailbox = Mailbox(2)
    mails = [letters.purchase(job(), "s@x.example", "a@x.example", "A", RECOMMENDED) for _ in range(3)]
    for mail in mails:
        mailbox.keep(mail.as_bytes(), ["a@x.example"])
    assert [f"<{mail.id}>" for mail in mailbox.find("a@x.example", 5)] == [m["message-id"] for m in mails[:0:-1]]
    assert mailbox.find("b@x.example", 5) == []


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (aiosmtplib.SMTPDataError(554, "no"), post.RefusedError),
        (aiosmtplib.SMTPDataError(452, "full"), post.LaterError),
        (aiosmtplib.SMTPResponseException(421, "closing"), UnavailableError),
        (aiosmtplib.SMTPServerDisconnected("gone"), UnavailableError),
        (aiosmtplib.SMTPConnectTimeoutError("slow"), UnavailableError),
        (ConnectionRefusedError(), UnavailableError),
        (aiosmtplib.SMTPRecipientsRefused([aiosmtplib.SMTPRecipientRefused(550, "who", "a@b")]), post.RefusedError),
        (aiosmtplib.SMTPRecipientsRefused([aiosmtplib.SMTPRecipientRefused(450, "later", "a@b")]), post.LaterError),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_an_smtp_server_says_is_for_ever_or_for_now(error: Exception, meaning: type[Exception]) -> None:
    assert type(post._meaning(error)) is meaning


def test_waits_grow_and_end_growing() -> None:
    insistence = Insistence(5, 1.0, 60.0)
    for tries, most in ((1, 1.0), (2, 3.0), (3, 9.0), (9, 60.0), (10_000, 60.0)):
        assert most / 2 <= insistence.after(tries) <= most


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"smtp_url": "http://mail:25"}, "SMTP_URL"),
        ({"smtp_url": "smtp://mail"}, "SMTP_URL"),
        ({"recommendation_grpc_url": "r:50051"}, "RECOMMENDATION_GRPC_URL"),
        ({"mail_job_seconds": 10}, "MAIL_JOB_SECONDS"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(wrong: dict[str, object], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        settings(**wrong)
