"""`python -m system.kit.migrate DIRECTORY < url`: brings a database to the newest of the directory's versions."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, make_url, text

# Held while migrating, so that replicas which start together do it one after the other. Any fixed number does.
LOCK = 7_304_221


def upgrade(url: str, directory: Path) -> None:
    config = Config()
    config.set_main_option("script_location", str(directory))
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)

    def revisions(revision: Any, _context: MigrationContext) -> Any:
        return script._upgrade_revs("head", revision)

    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection, EnvironmentContext(config, script, fn=revisions) as environment:
        connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
        environment.configure(connection=connection)
        environment.run_migrations()


if __name__ == "__main__":
    upgrade(sys.stdin.read(), Path(sys.argv[1]))
