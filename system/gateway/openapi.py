"""The OpenAPI document of the routes that FastAPI does not serve, beside those that it does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from inspect import getdoc
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from system.gateway.front import BELOW, Route
from system.kit import problem

NO_CONTENT = 204
SCHEMAS = "#/components/schemas/{model}"
TOKEN = {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}


def describe(app: FastAPI, routes: Iterable[Route]) -> None:
    """Makes `app.openapi()` tell of `routes` too."""
    rows = tuple(routes)
    of_fastapi = app.openapi

    def openapi() -> dict[str, Any]:
        document = of_fastapi()
        if "token" not in document.setdefault("components", {}).setdefault("securitySchemes", {}):
            document["components"]["securitySchemes"].update(TOKEN)
            schemas = document["components"].setdefault("schemas", {})
            schemas.update(_schemas(rows), Problem=problem.SCHEMA)
            for row in rows:
                document["paths"].setdefault(row.path, {})[row.method.lower()] = _operation(row)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _schemas(rows: Iterable[Route]) -> dict[str, Any]:
    models = [(model, "validation") for row in rows for model in (row.takes, row.gives) if model]
    _, document = models_json_schema(models, ref_template=SCHEMAS)  # type: ignore[arg-type]
    return dict(document["$defs"])


def _operation(row: Route) -> dict[str, Any]:
    name = f"{row.method.lower()}_{row.path.strip('/').replace('/', '_').replace('{', '').replace('}', '')}"
    operation: dict[str, Any] = {
        "operationId": name,
        "description": getdoc(row.handle),
        "parameters": list(_parameters(row)),
        "responses": dict(_responses(row)),
    }
    if row.policy.token != "none":  # noqa: S105
        operation["security"] = [{"token": []}] if row.policy.token == "required" else [{}, {"token": []}]  # noqa: S105
    if row.takes and row.method != "GET":
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _reference(row.takes)}},
        }
    return operation


def _parameters(row: Route) -> Iterator[dict[str, Any]]:
    if row.path.endswith(BELOW):
        yield {"name": "path", "in": "path", "required": True, "schema": {"type": "string"}}
    if row.takes and row.method == "GET":
        schema = row.takes.model_json_schema()
        for name, property_ in schema["properties"].items():
            yield {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": property_}


def _responses(row: Route) -> Iterator[tuple[str, dict[str, Any]]]:
    """A route that is passed through answers with whatever its provider does."""
    if row.takes is None and row.gives is None:
        yield "default", {"description": "as the provider answers, or a problem"}
        return
    answer: dict[str, Any] = {"description": "the answer"}
    if row.status != NO_CONTENT:
        # A stream of events has no schema: that of one event is none of the whole.
        answer["content"] = {row.media_type: {"schema": _reference(row.gives)} if row.gives else {}}
    for status in (row.status, *row.also):
        yield str(status), answer
    yield "default", problem.RESPONSE


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": SCHEMAS.format(model=model.__name__)}
