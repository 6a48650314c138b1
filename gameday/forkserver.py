"""Forks Python services from one process that has imported what they share.

Run as `python -m gameday.forkserver FD MODULE...`: preloads the modules, then forks
a child for each request on the socket FD. Requests are JSON datagrams that carry
one file descriptor for the child's output. Single-threaded by design: a fork with
threads about inherits their locks. `gameday.runtime.forks` is the other end.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
from dataclasses import dataclass
from typing import Any

# One request or answer; an environment is the largest part of it.
DATAGRAM = 256 * 1024


@dataclass(frozen=True)
class Order:
    """What a child is to run: `python -m target` or, for a path, `python target`."""

    target: str
    is_module: bool
    arguments: tuple[str, ...]
    environment: dict[str, str]
    directory: str


def main() -> None:
    connection = socket.socket(fileno=int(sys.argv[1]))
    failed = _preload(sys.argv[2:])
    connection.send(json.dumps({"ready": True, "failed": failed}).encode())
    gc.collect()
    # Moves everything imported out of the collector's sight, which would otherwise
    # write to, and so unshare, each page in each child.
    gc.freeze()
    order = _Server(connection).serve()
    if order is not None:
        _run(order)


def _preload(modules: list[str]) -> dict[str, str]:
    """Imports `modules`; what cannot be imported is a fact for the log, not an end."""
    failed = {}
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception as error:  # noqa: BLE001 - whatever a stranger's module raises
            failed[module] = f"{type(error).__name__}: {error}"
    return failed


class _Server:
    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._selector = selectors.DefaultSelector()
        self._selector.register(connection, selectors.EVENT_READ)
        self._children: dict[int, tuple[int, str]] = {}

    def serve(self) -> Order | None:
        """Returns the order to run in each child, and None in the server at its end."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is not self._connection:
                    self._reap(key.fd)
                    continue
                message, descriptors, _, _ = socket.recv_fds(self._connection, DATAGRAM, 1)
                if not message:
                    return None
                order = self._fork(json.loads(message), descriptors[0])
                if order is not None:
                    return order

    def _fork(self, request: dict[str, Any], output: int) -> Order | None:
        name = request.pop("id")
        pid = os.fork()
        if pid == 0:
            self._become(output)
            return Order(**request)
        os.close(output)
        pidfd = os.pidfd_open(pid)
        self._children[pidfd] = (pid, name)
        self._selector.register(pidfd, selectors.EVENT_READ)
        self._answer({"id": name, "pid": pid})
        return None

    def _become(self, output: int) -> None:
        """Leaves the server behind: its session, its descriptors, its output."""
        os.setsid()
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        self._selector.close()
        self._connection.close()
        for pidfd in self._children:
            os.close(pidfd)

    def _reap(self, pidfd: int) -> None:
        pid, name = self._children.pop(pidfd)
        self._selector.unregister(pidfd)
        os.close(pidfd)
        _, status = os.waitpid(pid, 0)
        self._answer({"id": name, "exit": os.waitstatus_to_exitcode(status)})

    def _answer(self, message: dict[str, Any]) -> None:
        # The supervisor is gone: the next receive tells, and this process ends.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._connection.send(json.dumps(message).encode())


def _run(order: Order) -> None:
    """As the interpreter would have run it, then the interpreter's normal end."""
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.default_int_handler if name is signal.SIGINT else signal.SIG_DFL)
    os.chdir(order.directory)
    os.environ.clear()
    os.environ.update(order.environment)
    sys.argv = [order.target, *order.arguments]
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    if order.is_module:
        sys.path[0] = order.directory
        runpy.run_module(order.target, run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = os.path.dirname(os.path.abspath(order.target))  # noqa: PTH100, PTH120
        runpy.run_path(order.target, run_name="__main__")


if __name__ == "__main__":
    main()
