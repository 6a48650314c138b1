"""Does a value look as an experiment wants it: as a literal, or as a JSON Schema where that is a mapping?"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import jsonschema


def fits(wanted: Any, value: Any) -> bool:
    if isinstance(wanted, dict):
        return _validator(json.dumps(wanted, sort_keys=True)).is_valid(value)
    return bool(value == wanted and type(value) is type(wanted))


def told(wanted: Any) -> str:
    return f"as {wanted}" if isinstance(wanted, dict) else f"= {wanted!r}"


@lru_cache(maxsize=64)
def _validator(schema: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(schema))
