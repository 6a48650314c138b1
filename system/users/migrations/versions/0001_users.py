"""Users, their refresh tokens, and the keys that sign access tokens."""

from alembic import op

revision = "0001"
down_revision = None

# `email` is stored as it is compared: trimmed and in lower case.
UP = """
CREATE TABLE users (
    id uuid PRIMARY KEY,
    email text NOT NULL UNIQUE,
    password_hash text NOT NULL,
    name text NOT NULL,
    tier text NOT NULL DEFAULT 'free' CHECK (tier IN ('free', 'pro')),
    roles text[] NOT NULL DEFAULT '{}',
    interests text[] NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE refresh_tokens (
    hash bytea PRIMARY KEY,
    family uuid NOT NULL,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
CREATE INDEX ON refresh_tokens (family);
CREATE INDEX ON refresh_tokens (user_id);
CREATE TABLE signing_keys (
    id text PRIMARY KEY,
    private_pem text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute("DROP TABLE signing_keys, refresh_tokens, users")
