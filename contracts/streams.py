"""What a stream of server-sent events has to look like: a regular expression of its events, in their order."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

MEDIA_TYPE = "text/event-stream"


def event(name: str, *holds: str) -> str:
    """One event whose data, in one line, hold each of the patterns, in that order."""
    return rf"event: {name}\ndata: \{{" + "".join(f"[^\\n]*{each}" for each in holds) + r"[^\n]*\}\n\n"


def some(pattern: str) -> str:
    return f"({pattern})+"


def any_of(pattern: str) -> str:
    return f"({pattern})*"


def rule(*events: str) -> dict[str, Any]:
    """As Pact takes it for the whole body."""
    return {"body": {"$": {"matchers": [{"match": "regex", "regex": "^" + "".join(events) + "$"}]}}}


def text(*events: tuple[str, Mapping[str, Any]]) -> str:
    """The example."""
    return "".join(f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n" for name, data in events)
