"""A value that fits a JSON Schema, the same for the same randomness."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

# Deeper than this an optional property is left out: schemas may refer to themselves.
DEEPEST = 6


def example(schema: Mapping[str, Any], draw: random.Random, words: list[str]) -> Any:
    """Strings are drawn from `words`. Knows what tool schemas use: type, enum, const, items, properties, $ref."""
    return _value(schema, schema, draw, words or ["example"], 0)


def _value(
    schema: Mapping[str, Any], root: Mapping[str, Any], draw: random.Random, words: list[str], depth: int
) -> Any:
    if "$ref" in schema:
        schema = _resolve(str(schema["$ref"]), root)
    for choice in ("anyOf", "oneOf", "allOf"):
        if schema.get(choice):
            return _value(schema[choice][0], root, draw, words, depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return draw.choice(schema["enum"])
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        return _object(schema, root, draw, words, depth)
    if kind == "array":
        fewest = schema.get("minItems", 1 if depth < DEEPEST else 0)
        return [_value(schema.get("items", {}), root, draw, words, depth + 1) for _ in range(fewest)]
    return _scalar(kind, schema, draw, words)


def _object(
    schema: Mapping[str, Any], root: Mapping[str, Any], draw: random.Random, words: list[str], depth: int
) -> dict[str, Any]:
    required = schema.get("required", ())
    properties = schema.get("properties", {})
    wanted = [name for name in properties if name in required or depth < DEEPEST]
    return {name: _value(properties[name], root, draw, words, depth + 1) for name in wanted}


def _scalar(kind: str, schema: Mapping[str, Any], draw: random.Random, words: list[str]) -> Any:
    low, high = schema.get("minimum", 0), schema.get("maximum", 100)
    match kind:
        case "integer":
            return draw.randint(int(low), max(int(low), int(high)))
        case "number":
            return round(draw.uniform(low, max(low, high)), 2)
        case "boolean":
            return draw.choice((True, False))
        case "null":
            return None
        case _:
            return draw.choice(words)


def _resolve(reference: str, root: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Any = root
    for part in reference.removeprefix("#/").split("/"):
        found = found.get(part, {}) if isinstance(found, Mapping) else {}
    return found if isinstance(found, Mapping) else {}
