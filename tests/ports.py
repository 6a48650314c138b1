"""Ports for what tests start."""

from __future__ import annotations

import random
import socket


def free_port() -> int:
    """Below those that gameday allots, and below those from which the kernel takes the ports of outgoing connections: a
    server that is dead for a while would find its port taken, by nobody more often than by whoever tries to reach it.
    """
    while True:
        port = random.randrange(10_000, 18_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
