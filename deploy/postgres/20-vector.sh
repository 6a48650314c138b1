#!/bin/sh
# Only a superuser may make pgvector's types, and search-svc's role is none.
set -eu

psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname search --command 'CREATE EXTENSION IF NOT EXISTS vector'
