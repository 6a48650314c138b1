"""A service that ends while its bus is just being connected."""

from __future__ import annotations

import asyncio

import pytest

from system.kit import background
from system.kit.bus import Bus


async def test_a_connection_that_swallows_its_cancellation_does_not_keep_the_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed = asyncio.Event()

    class Link:
        alive = True

        async def measure(self, names: list[str]) -> dict[str, int]:
            return dict.fromkeys(names, 0)

        async def lost(self) -> None:
            await asyncio.Event().wait()

        async def drain(self, _: float) -> None:
            closed.set()

    connecting = asyncio.Event()

    async def connect(_self: Bus) -> Link:
        connecting.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return Link()
        raise AssertionError

    monkeypatch.setattr(Bus, "_connect", connect)
    monkeypatch.setattr(background, "AGAIN_SECONDS", 0.01)
    async with asyncio.timeout(5):
        async with Bus("user-svc", "amqp://nowhere", publishes=["user.purchased"]):
            await connecting.wait()
        await closed.wait()
