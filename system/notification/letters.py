"""What the mails say: templates, in text and in HTML."""

from __future__ import annotations

from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from system.kit import telemetry
from system.notification.jobs import Job
from system.notification.recommendations import Recommended

DOMAIN = "notification-svc"
TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=select_autoescape(["html.j2"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def purchase(job: Job, sender: str, email: str, name: str, recommended: Recommended) -> EmailMessage:
    """Raises ValueError for a name or an address that cannot stand in a header.

    The Message-ID is the event's, whoever sends it and however often: a receiver knows the second as the first.
    """
    message = EmailMessage()
    message["From"] = sender
    message["To"] = Address(display_name=name, addr_spec=email)
    message["Subject"] = f"Your purchase of {job.item}"
    message["Message-ID"] = message_id(job)
    message["Date"] = format_datetime(job.occurred)
    message["X-Correlation-Id"] = telemetry.CORRELATION_ID.get()
    told = {"name": name, "item": job.item, "quantity": job.quantity, "recommended": recommended}
    message.set_content(TEMPLATES.get_template("purchase.txt.j2").render(told))
    message.add_alternative(TEMPLATES.get_template("purchase.html.j2").render(told), subtype="html")
    return message


def message_id(job: Job) -> str:
    return f"<{job.id}@{DOMAIN}>"
