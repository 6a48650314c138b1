"""`verdict.json` and its schema."""

from __future__ import annotations

import json
from typing import Any

from gameday.verdict import Verdicts


def render(verdicts: Verdicts) -> str:
    return verdicts.model_dump_json(indent=2) + "\n"


def schema() -> dict[str, Any]:
    """The JSON Schema of `verdict.json`; `docs/verdict.schema.json` holds a copy."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return head | Verdicts.model_json_schema(mode="serialization")


def render_schema() -> str:
    return json.dumps(schema(), indent=2) + "\n"
