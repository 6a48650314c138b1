"""The trail of decisions, and apart from it what they say about persons."""

from alembic import op

revision = "0001"
down_revision = None

# The service is `audit_app`, which owns nothing here: it can add to the trail, and the triggers hold even for the
# owner's statements. What is personal can be deleted, and is tied to the trail by a salted commitment.
# `facts` and `content` are text because their bytes are hashed; jsonb would rewrite them.
# `totals` and `erased` are derived from the rest and may be made anew.
UP = """
CREATE TABLE trail (
    number bigint PRIMARY KEY CHECK (number > 0),
    id uuid NOT NULL UNIQUE,
    type text NOT NULL,
    model text,
    confidence numeric(7, 6),
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    facts text,
    commitment bytea,
    previous bytea NOT NULL,
    hash bytea NOT NULL
);
CREATE INDEX ON trail (model, number);
CREATE INDEX ON trail (type, number);
CREATE INDEX ON trail (occurred_at, number);
CREATE INDEX ON trail (number) WHERE facts IS NOT NULL;
CREATE TABLE personal (
    number bigint PRIMARY KEY REFERENCES trail,
    user_id text,
    salt bytea NOT NULL,
    content text NOT NULL
);
CREATE INDEX ON personal (user_id, number);
CREATE TABLE totals (
    user_id text,
    model text NOT NULL,
    type text NOT NULL,
    decisions bigint NOT NULL,
    confident bigint NOT NULL,
    confidence numeric NOT NULL,
    last timestamptz NOT NULL,
    UNIQUE NULLS NOT DISTINCT (user_id, model, type)
);
CREATE TABLE erased (
    person bytea PRIMARY KEY,
    through timestamptz NOT NULL
);
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON trail EXECUTE FUNCTION refuse();
CREATE TRIGGER unchanged BEFORE UPDATE OR TRUNCATE ON personal EXECUTE FUNCTION refuse();
GRANT SELECT, INSERT ON trail TO audit_app;
GRANT SELECT, INSERT, DELETE ON personal TO audit_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON totals, erased TO audit_app;
GRANT SELECT ON alembic_version TO audit_app;
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute("DROP TABLE erased, totals, personal, trail; DROP FUNCTION refuse()")
