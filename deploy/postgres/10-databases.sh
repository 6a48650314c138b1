#!/bin/sh
# A database and a role of its own for each service whose password the environment names: USERS_DB_PASSWORD makes
# role and database `users`. No role may connect to another's database.
# USERS_APP_PASSWORD adds a role `users_app`, which may connect to `users` and owns nothing there.
set -eu

env | sed -n 's/^\([A-Z][A-Z_]*\)_DB_PASSWORD=.*/\1/p' | sort | while read -r prefix; do
    name=$(printf %s "$prefix" | tr '[:upper:]' '[:lower:]')
    eval "password=\$${prefix}_DB_PASSWORD"
    psql -v ON_ERROR_STOP=1 -v name="$name" -v password="$password" --username "$POSTGRES_USER" --dbname postgres <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE CONNECT ON DATABASE :"name" FROM PUBLIC;
SQL
done

env | sed -n 's/^\([A-Z][A-Z_]*\)_APP_PASSWORD=.*/\1/p' | sort | while read -r prefix; do
    name=$(printf %s "$prefix" | tr '[:upper:]' '[:lower:]')
    eval "password=\$${prefix}_APP_PASSWORD"
    psql -v ON_ERROR_STOP=1 -v name="$name" -v app="${name}_app" -v password="$password" \
        --username "$POSTGRES_USER" --dbname postgres <<'SQL'
CREATE ROLE :"app" LOGIN PASSWORD :'password';
GRANT CONNECT ON DATABASE :"name" TO :"app";
SQL
done
