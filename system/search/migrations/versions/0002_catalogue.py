"""The shop's first items. A migration, so that what was deleted since does not come back with the next start."""

from alembic import op
from sqlalchemy import column, table

from system.search import catalogue

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    items = table("items", column("id"), column("title"), column("text"))
    op.bulk_insert(items, [vars(item) for item in catalogue.items()])


def downgrade() -> None:
    op.execute("DELETE FROM items")
