"""The document that content-svc's contracts are about."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from system.content.documents import Document

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def document() -> Document:
    return Document(
        id=UUID("9a7e2f60-14c5-4f6b-8a0d-3a5f8c1b2d41"),
        user_id=UUID("5b1e7a52-6f0e-4f8e-9d43-0a4c5f6d7e83"),
        title="Boots",
        prompt="Write about boots",
        body="Boots keep feet dry.",
        state="running",
        round=0,
        step="",
        error=None,
        held_for=None,
        headers={},
        created_at=NOW,
        updated_at=NOW,
    )
