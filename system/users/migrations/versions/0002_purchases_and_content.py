"""Purchases, what users wrote, and the outbox from which events about both are published."""

from alembic import op

revision = "0002"
down_revision = "0001"

# `repeat_key` is the caller's Idempotency-Key: a purchase that is sent twice is made once.
UP = """
CREATE TABLE purchases (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    item_id text NOT NULL,
    price_cents bigint NOT NULL CHECK (price_cents >= 0),
    repeat_key text,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (user_id, repeat_key)
);
CREATE INDEX ON purchases (user_id, created_at DESC);
CREATE TABLE content (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    title text NOT NULL,
    body text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON content (user_id, created_at DESC);
CREATE TABLE outbox (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id uuid NOT NULL UNIQUE,
    type text NOT NULL,
    payload jsonb NOT NULL,
    headers jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    published_at timestamptz
);
CREATE INDEX ON outbox (number) WHERE published_at IS NULL;
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute("DROP TABLE outbox, content, purchases")
