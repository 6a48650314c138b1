"""Items, found by their words, and the vectors by which they are found by their meaning."""

from alembic import op

revision = "0001"
down_revision = None

# Only a superuser may make the extension, and has: see deploy/postgres. `revision` grows with each change of an item,
# `embedded_by` is the model whose vector of that revision is stored.
UP = """
CREATE EXTENSION IF NOT EXISTS vector;
CREATE TABLE items (
    id text PRIMARY KEY,
    title text NOT NULL,
    text text NOT NULL DEFAULT '',
    revision bigint NOT NULL DEFAULT 1,
    embedded_by text,
    words tsvector NOT NULL GENERATED ALWAYS AS (
        setweight(to_tsvector('english', title), 'A') || setweight(to_tsvector('english', text), 'B')
    ) STORED
);
CREATE INDEX items_words ON items USING gin (words);
CREATE TABLE vectors (
    item_id text PRIMARY KEY REFERENCES items ON DELETE CASCADE,
    embedding vector(384) NOT NULL
);
CREATE INDEX vectors_embedding ON vectors USING hnsw (embedding vector_cosine_ops);
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute("DROP TABLE vectors, items")
