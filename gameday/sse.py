"""Server-sent events as one value, so that an expectation can name what a stream said and how it ended.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation,
less what only a browser needs: ids and the time to reconnect.
"""

from __future__ import annotations

import json
from typing import Any

MEDIA_TYPE = "text/event-stream"


def read(text: str) -> dict[str, Any]:
    """`events` are the names in their order, `last` is the last event, `rest` what follows the last whole one.

    The data of an event is its JSON value, or its text where it is none.
    """
    *blocks, rest = text.replace("\r\n", "\n").split("\n\n")
    events = [event for event in map(_event, blocks) if event]
    return {"events": [event["event"] for event in events], "last": events[-1] if events else None, "rest": rest}


def _event(block: str) -> dict[str, Any] | None:
    """None where nothing was sent but a comment."""
    name, data = "message", []
    for line in block.split("\n"):
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)
    return {"event": name, "data": _value("\n".join(data))} if data else None


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
