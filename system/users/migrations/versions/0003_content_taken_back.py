"""Content that was taken back leaves its id behind, so that a request for it which comes late finds out."""

from alembic import op

revision = "0003"
down_revision = "0002"

UP = "ALTER TABLE content ADD COLUMN taken_back_at timestamptz"


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute("DELETE FROM content WHERE taken_back_at IS NOT NULL; ALTER TABLE content DROP COLUMN taken_back_at")
