"""Ids of items that were removed for good: who asks late to add one finds out."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute("CREATE TABLE retired (id text PRIMARY KEY)")


def downgrade() -> None:
    op.execute("DROP TABLE retired")
