"""How many of an item were bought, and whose event it is: the events of one user are published in order."""

from alembic import op

revision = "0004"
down_revision = "0003"

UP = """
ALTER TABLE purchases ADD COLUMN quantity int NOT NULL DEFAULT 1 CHECK (quantity BETWEEN 1 AND 1000);
ALTER TABLE outbox ADD COLUMN key text;
UPDATE outbox SET key = payload ->> 'userId';
ALTER TABLE outbox ALTER COLUMN key SET NOT NULL;
CREATE INDEX ON outbox (published_at) WHERE published_at IS NOT NULL;
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute("ALTER TABLE outbox DROP COLUMN key; ALTER TABLE purchases DROP COLUMN quantity")
