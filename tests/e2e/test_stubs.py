"""A service is developed alone: what it asks is answered from its contracts."""

from __future__ import annotations

import httpx
from program import Gameday


def test_the_gateway_alone_serves_a_homepage_of_what_was_promised(gameday: Gameday) -> None:
    assert "mend: gameday up SERVICE --stubs" in gameday.run("up", "--stubs", code=2).err
    ran = gameday.run("up", "api-gateway", "--stubs")
    assert "what api-gateway asks by HTTP is answered from contracts/pacts" in ran.text
    services = gameday.services()
    assert "postgres" not in services
    assert "user-svc" in services
    page = httpx.get(f"{services['api-gateway']['url']}/api/homepage", timeout=10).json()
    assert page["recommendations"]["source"] == "model"
    assert "joined" in gameday.run("up").text
    assert "another system runs" in gameday.run("up", "user-svc", "--stubs", code=2).err
