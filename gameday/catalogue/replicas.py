"""How the replicas of a service are called: `web` where there is one, else `web#1`, `web#2`."""

from __future__ import annotations

# No service can have it in its name, and in the middle of a word no shell and no YAML takes it for a comment.
_SEPARATOR = "#"


def name(service: str, number: int | None) -> str:
    return service if number is None else f"{service}{_SEPARATOR}{number}"


def service(name: str) -> str:
    """The service of which `name` is a replica."""
    return name.partition(_SEPARATOR)[0]
