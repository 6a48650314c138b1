"""python -m gameday.spans --data DIRECTORY --listen HOST:PORT [--listen HOST:PORT]"""

from __future__ import annotations

import argparse
import socket
from pathlib import Path

import uvicorn

from gameday.spans import server
from gameday.spans.store import KEPT, MOST, SpanStore


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m gameday.spans", description="A small store of spans.")
    parser.add_argument("--data", type=Path, required=True, help="directory of the database")
    parser.add_argument("--listen", action="append", required=True, help="HOST:PORT; may be said again")
    parser.add_argument("--most", type=int, default=MOST, help=f"spans kept at most (default {MOST})")
    parser.add_argument("--kept", type=float, default=KEPT, help=f"seconds they are kept (default {KEPT:.0f})")
    given = parser.parse_args()
    given.data.mkdir(parents=True, exist_ok=True)
    store = SpanStore(given.data / "spans.sqlite", given.most, given.kept)
    config = uvicorn.Config(server.app(store), log_level="warning", access_log=False, timeout_graceful_shutdown=2)
    try:
        uvicorn.Server(config).run(sockets=[_bound(address) for address in given.listen])
    finally:
        store.close()


def _bound(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((host, int(port)))
    return bound


if __name__ == "__main__":
    main()
