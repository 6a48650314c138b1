"""Documents, from the wish for one to what became of it."""

from alembic import op

revision = "0001"
down_revision = None

# `repeat_key` is the caller's Idempotency-Key. `round` counts how often work on the document was begun: once, and once
# more after each time it was held. `step` is the last that was begun. `log_kept`: the saga's own log of steps is
# still there.
UP = """
CREATE TABLE documents (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    repeat_key text NOT NULL,
    title text NOT NULL,
    prompt text NOT NULL,
    body text,
    state text NOT NULL DEFAULT 'running'
        CHECK (state IN ('running', 'held', 'published', 'compensating', 'compensated')),
    round integer NOT NULL DEFAULT 0,
    step text NOT NULL DEFAULT '',
    error text,
    held_for text CHECK (held_for IN ('verdict', 'moderation')),
    headers jsonb NOT NULL,
    log_kept boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (user_id, repeat_key)
);
CREATE INDEX ON documents (state, updated_at);
CREATE INDEX ON documents (updated_at) WHERE log_kept;
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute("DROP TABLE documents")
