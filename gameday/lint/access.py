"""Which database of a store an environment names, and the role it is used as."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from gameday.catalogue.endpoints import Reference, words

_URL_USER = re.compile(r"://(?P<user>[^:@/\s]*)(?::[^@\s]*)?@$")
_GO_USER = re.compile(r"(?P<user>[^:@/\s]+)(?::[^@\s]*)?@\w+\($")
_URL_DATABASE = re.compile(r"(?::\d+)?(?:,[^/\s]*)?\)?/(?P<database>[\w.$-]+)")
_ASSIGNED_DATABASE = re.compile(r"\b(?:database|dbname|initial catalog)\s*=\s*(?P<database>[\w.$-]+)", re.IGNORECASE)
_ASSIGNED_USER = re.compile(r"\b(?:user id|uid|user(?:name)?)\s*=\s*(?P<user>[\w.$-]+)", re.IGNORECASE)
_DATABASE_WORDS = {"DATABASE", "DB", "DBNAME", "NAME"}
_USER_WORDS = {"USER", "USERNAME"}


@dataclass(frozen=True)
class Access:
    """None where the environment does not say."""

    database: str | None
    role: str | None


def access(environment: Mapping[str, str], reference: Reference) -> Access:
    """Read from the value that names the store, else from the keys beside it: DB_HOST, DB_NAME, DB_USER."""
    value = environment[reference.key]
    before, after = value[: reference.host[0]], value[reference.host[1] :]
    database = _URL_DATABASE.match(after) or _ASSIGNED_DATABASE.search(value)
    user = _URL_USER.search(before) or _GO_USER.search(before) or _ASSIGNED_USER.search(value)
    return Access(
        unquote(database["database"]) if database else _beside(environment, reference.key, _DATABASE_WORDS),
        unquote(user["user"]) if user else _beside(environment, reference.key, _USER_WORDS),
    )


def _beside(environment: Mapping[str, str], key: str, last: set[str]) -> str | None:
    """The value of the one key that has all the words of `key` but its last, and then one of `last`."""
    family = words(key)[:-1]
    found = {
        value
        for other, value in environment.items()
        if value and words(other)[:-1] == family and words(other)[-1:] and words(other)[-1] in last
    }
    return found.pop() if len(found) == 1 else None
