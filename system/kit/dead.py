"""Looks at messages that were set aside, and brings them back.

    BROKER_URL=amqp://... python -m system.kit.dead list
    BROKER_URL=amqp://... python -m system.kit.dead show notification-svc.user.purchased
    BROKER_URL=amqp://... python -m system.kit.dead replay notification-svc.user.purchased [--id MESSAGE_ID]

`list` says how many there are, `show` prints one JSON line for each, `replay`
gives them back to the queue that they came from, as if new.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aio_pika.exceptions import ChannelNotFoundEntity

from system.kit import topology
from system.kit.broker import BROKEN
from system.kit.consumer import ATTEMPT, ERROR, QUEUE, REASON, WAITED, copy

SHOWN_BYTES = 2000
CONNECT_SECONDS = 5.0
_OURS = (ATTEMPT, WAITED, REASON, ERROR, QUEUE)


async def counts(channel_of: Any) -> dict[str, int]:
    """How many are dead of each queue that the topology names and the broker has."""
    found = {}
    for event, services in topology.CONSUMERS.items():
        for service in services:
            name = topology.queue(service, event)
            # A name that is not there closes the channel.
            channel = await channel_of()
            try:
                declared = await channel.declare_queue(topology.dead(name), passive=True)
                found[name] = declared.declaration_result.message_count or 0
                await channel.close()
            except ChannelNotFoundEntity:
                continue
    return found


async def show(channel: AbstractChannel, queue: str) -> list[dict[str, Any]]:
    """What is dead of `queue`, oldest first. It stays where it is: nothing is acknowledged."""
    return [_told(message) async for message in _all(channel, queue)]


async def replay(channel: AbstractChannel, queue: str, message_id: str | None = None) -> int:
    """How many were brought back. Each leaves the dead once the broker has confirmed that it has it in its queue."""
    back = 0
    async for message in _all(channel, queue):
        if message_id in (None, message.message_id):
            await channel.default_exchange.publish(_as_new(message), queue, mandatory=True)
            await message.ack()
            back += 1
    return back


def _as_new(message: AbstractIncomingMessage) -> aio_pika.Message:
    new = copy(message, {})
    new.headers = {name: value for name, value in new.headers.items() if name not in _OURS}
    return new


async def _all(channel: AbstractChannel, queue: str) -> AsyncIterator[AbstractIncomingMessage]:
    """Each once: those that are not acknowledged go back together, at the end."""
    dead = await channel.declare_queue(topology.dead(queue), passive=True)
    kept = []
    for _ in range(dead.declaration_result.message_count or 0):
        message = await dead.get(fail=False)
        if message is None:
            break
        yield message
        if not message.processed:
            kept.append(message)
    for message in kept:
        await message.nack(requeue=True)


def _told(message: AbstractIncomingMessage) -> dict[str, Any]:
    headers = message.headers
    return {
        "messageId": message.message_id,
        "event": message.type,
        "reason": headers.get(REASON, "delivered too often"),
        "error": headers.get(ERROR),
        "correlationId": headers.get("x-correlation-id"),
        "published": message.timestamp.isoformat() if message.timestamp else None,
        "bytes": message.body_size,
        "body": message.body[:SHOWN_BYTES].decode(errors="replace"),
    }


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[Any]:
    connection = await aio_pika.connect(url, timeout=CONNECT_SECONDS)
    async with connection:
        yield lambda: connection.channel(publisher_confirms=True, on_return_raises=True)


async def _run(url: str, chosen: argparse.Namespace) -> None:
    async with _connected(url) as channel_of:
        if chosen.command == "list":
            for name, count in (await counts(channel_of)).items():
                print(f"{count:>7}  {name}")
        elif chosen.command == "show":
            for each in await show(await channel_of(), chosen.queue):
                print(json.dumps(each))
        else:
            print(f"{await replay(await channel_of(), chosen.queue, chosen.id)} brought back to {chosen.queue}")


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m system.kit.dead", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="how many are dead of each queue")
    commands.add_parser("show", help="what is dead of a queue").add_argument("queue")
    back = commands.add_parser("replay", help="bring back what is dead of a queue")
    back.add_argument("queue")
    back.add_argument("--id", help="only the message of this id")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    chosen = _arguments(arguments)
    file = os.environ.get("BROKER_URL_FILE")
    url = Path(file).read_text().strip() if file else os.environ.get("BROKER_URL")
    if not url:
        print("BROKER_URL: write the broker's address, amqp://USER:PASSWORD@HOST:PORT/", file=sys.stderr)
        return 2
    try:
        asyncio.run(_run(url, chosen))
    except ChannelNotFoundEntity:
        print(f"{chosen.queue}: there is no such queue; `list` names them", file=sys.stderr)
        return 2
    except BROKEN as error:
        print(f"the broker: {type(error).__name__}: {error}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
