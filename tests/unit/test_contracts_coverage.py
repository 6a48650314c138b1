"""Which edges need a contract, and that one without is a finding."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gameday import contracts
from gameday.catalogue import compose
from gameday.verdict import Verdict

COMPOSE = """
services:
  shop:
    image: shop
    environment:
      STOCK_URL: "http://stock:80"
      DATABASE_URL: "postgres://db:5432/shop"
      MAIL_URL: "smtp://mail:25"
      TRACES_URL: "http://jaeger:4318"
    x-gameday: {consumes: [sold-out]}
  stock: {image: stock, expose: ["80"], x-gameday: {publishes: [sold-out]}}
  mail: {image: mail, expose: ["25"]}
  db: {image: "postgres:18", expose: ["5432"]}
  jaeger: {image: "jaegertracing/jaeger:2.10.0", expose: ["4318"]}
"""


def covered(directory: Path, *kinds: str) -> tuple[list[tuple[str, str, bool]], list[Any]]:
    """Each edge that needs a contract, its kind and whether it has one, and what is said of those that have none."""
    (directory / "docker-compose.yml").write_text(COMPOSE)
    interactions = [{"type": kind, "description": kind} for kind in kinds]
    content = {"consumer": {"name": "shop"}, "provider": {"name": "stock"}, "interactions": interactions}
    (directory / "shop-stock.json").write_text(json.dumps(content))
    catalogue = compose.load([directory / "docker-compose.yml"], environment={})
    pacts = contracts.read_all(directory)
    found = contracts.coverage(catalogue, pacts)
    rows = [(each.edge.name, str(each.edge.kind), each.pact is not None) for each in found]
    return rows, list(contracts.missing(catalogue, pacts))


def test_what_others_publish_needs_no_contract(tmp_path: Path) -> None:
    rows, missing = covered(tmp_path, "Synchronous/HTTP", "Asynchronous/Messages")
    assert sorted(rows) == [("shop->stock", "http", True), ("shop->stock", "message", True)]
    assert not missing


def test_an_edge_without_a_contract_is_a_finding(tmp_path: Path) -> None:
    _, missing = covered(tmp_path, "Synchronous/HTTP")
    [result] = missing
    assert (result.name, result.verdict) == ("shop->stock:message", Verdict.REFUTED)


def test_a_message_is_no_contract_on_what_is_asked(tmp_path: Path) -> None:
    _, missing = covered(tmp_path, "Asynchronous/Messages")
    assert [result.name for result in missing] == ["shop->stock:http"]
