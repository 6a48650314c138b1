"""Secrets do not belong into the files of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SECRET = ("PASSWORD", "SECRET", "TOKEN", "KEY", "CREDENTIAL")


def redacted(value: Any, key: str = "") -> Any:
    """`value` with `***` for each text under a name that a secret would have."""
    if isinstance(value, Mapping):
        return {name: redacted(each, str(name)) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(each, key) for each in value]
    return "***" if isinstance(value, str) and any(word in key.upper() for word in _SECRET) else value
