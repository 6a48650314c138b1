"""The supervisor's end of the fork server."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import IO, Any

from gameday.errors import GamedayError
from gameday.forkserver import DATAGRAM, Order
from gameday.runtime import child, procfs
from gameday.runtime.child import Child

_START_SECONDS = 60.0
_FORK_SECONDS = 10.0
# What `python` itself takes before the module or the script and that changes nothing for a fork.
_HARMLESS = ("-u",)


def order(argv: Sequence[str], environment: Mapping[str, str], directory: Path) -> Order | None:
    """`argv` as a fork, where it is `python -m module ...` or `python script.py ...`; else None."""
    program, *rest = argv
    if Path(program).name not in ("python", "python3", Path(sys.executable).name):
        return None
    while rest and rest[0] in _HARMLESS:
        rest = rest[1:]
    if len(rest) > 1 and rest[0] == "-m":
        return Order(rest[1], True, tuple(rest[2:]), dict(environment), str(directory))
    if rest and rest[0].endswith(".py"):
        return Order(str(directory / rest[0]), False, tuple(rest[1:]), dict(environment), str(directory))
    return None


class _Link:
    """One fork server process and the socket to it."""

    def __init__(self, connection: socket.socket, server: subprocess.Popen[bytes]) -> None:
        loop = asyncio.get_running_loop()
        self.server = server
        self.ready: asyncio.Future[dict[str, str]] = loop.create_future()
        self.forked: dict[str, asyncio.Future[int]] = {}
        self.ended: dict[str, asyncio.Future[int]] = {}
        self._pids: dict[str, int] = {}
        self._connection = connection
        self.open = True
        loop.add_reader(connection, self._receive)

    def send(self, message: bytes, descriptor: int) -> None:
        socket.send_fds(self._connection, [message], [descriptor])

    def close(self) -> None:
        """Idempotent. The children live on; their end is then read through pidfds."""
        if not self.open:
            return
        self.open = False
        asyncio.get_running_loop().remove_reader(self._connection)
        self._connection.close()
        self.server.kill()
        self.server.wait()
        pending: list[asyncio.Future[Any]] = [self.ready, *self.forked.values()]
        for waiting in pending:
            if not waiting.done():
                waiting.set_exception(GamedayError("the fork server ended"))
        for name, ended in self.ended.items():
            _follow(self._pids.get(name), ended)

    def _receive(self) -> None:
        try:
            content = self._connection.recv(DATAGRAM)
        except BlockingIOError:
            return
        except ConnectionResetError:
            content = b""
        if content:
            self._take(json.loads(content))
        else:
            self.close()

    def _take(self, message: dict[str, Any]) -> None:
        if "ready" in message:
            self.ready.set_result(message["failed"])
        elif "pid" in message:
            self._pids[message["id"]] = message["pid"]
            self.forked[message["id"]].set_result(message["pid"])
        else:
            del self._pids[message["id"]]
            self.ended.pop(message["id"]).set_result(message["exit"])


class ForkServer:
    """Forks from a process that has preloaded modules. It is started again should it end."""

    def __init__(self, preload: Sequence[str], directory: Path, environment: Mapping[str, str], log: Path) -> None:
        self._preload = preload
        self._directory = directory
        self._environment = environment
        self._log = log
        self._ids = count(1)
        self._nowhere = os.open(os.devnull, os.O_WRONLY)
        self._link: _Link | None = None

    @property
    def pid(self) -> int | None:
        return self._link.server.pid if self._link else None

    def start(self) -> None:
        """Begins to preload; returns at once."""
        self._linked()

    async def preloaded(self) -> dict[str, str]:
        """Waits until forks are cheap; returns module -> error for what could not be imported."""
        async with asyncio.timeout(_START_SECONDS):
            return await asyncio.shield(self._linked().ready)

    async def fork(self, wanted: Order, output: IO[bytes] | None) -> Child:
        """Output None is thrown away. Raises GamedayError where the fork server does not answer."""
        await self.preloaded()
        link, name = self._linked(), str(next(self._ids))
        message = json.dumps({"id": name, **asdict(wanted)}).encode()
        if len(message) > DATAGRAM:
            raise GamedayError(f"the environment of {wanted.target} is too large to fork it ({len(message)} bytes)")
        loop = asyncio.get_running_loop()
        link.forked[name], ended = loop.create_future(), loop.create_future()
        link.ended[name] = ended
        link.send(message, output.fileno() if output else self._nowhere)
        try:
            async with asyncio.timeout(_FORK_SECONDS):
                pid = await link.forked[name]
        except TimeoutError:
            raise GamedayError(f"the fork server did not start {wanted.target}") from None
        finally:
            del link.forked[name]
        return Child(child.name(pid), ended)

    async def spawn(
        self, argv: Sequence[str], *, environment: Mapping[str, str], directory: Path, output: IO[bytes]
    ) -> Child:
        """`argv` as a fork where it is Python, as it is where it is not. Raises GamedayError where it cannot be run."""
        wanted = order(argv, environment, directory)
        if wanted is not None:
            return await self.fork(wanted, output)
        return child.spawn(argv, environment=environment, directory=directory, output=output)

    async def run(self, wanted: Order) -> int:
        """The exit code of what ends by itself; its output is thrown away. A cancelled wait ends it."""
        forked = await self.fork(wanted, None)
        try:
            return await asyncio.shield(forked.ended)
        except asyncio.CancelledError:
            procfs.send(forked.process, signal.SIGKILL)
            raise

    def stop(self) -> None:
        """Ends the fork server; its children are the caller's to end first."""
        if self._link is not None:
            self._link.close()
            self._link = None
        if self._nowhere >= 0:
            os.close(self._nowhere)
            self._nowhere = -1

    def _linked(self) -> _Link:
        if self._link is None or not self._link.open:
            self._link = self._begin()
        return self._link

    def _begin(self) -> _Link:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, self._log.open("ab") as output:
            server = subprocess.Popen(
                [sys.executable, "-m", "gameday.forkserver", str(theirs.fileno()), *self._preload],
                pass_fds=[theirs.fileno()],
                cwd=self._directory,
                env=dict(self._environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        ours.setblocking(False)
        return _Link(ours, server)


def _follow(pid: int | None, ended: asyncio.Future[int]) -> None:
    """Resolves `ended` for a child whose fork server is gone: the supervisor has inherited it."""

    def reap() -> int:
        try:
            return os.waitstatus_to_exitcode(os.waitpid(pid or 0, 0)[1])
        except ChildProcessError:
            return -signal.SIGKILL

    def settle(source: asyncio.Future[int]) -> None:
        if not ended.done():
            ended.set_result(source.result())

    try:
        child.watch(pid or 0, reap).add_done_callback(settle)
    except OSError:
        ended.set_result(-signal.SIGKILL)


def environment(source: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What a service inherits from the machine: where programs and temporary files are, and the language."""
    kept = (
        "PATH",
        "PYTHONPATH",
        "HOME",
        "USER",
        "LANG",
        "LC_ALL",
        "TZ",
        "TMPDIR",
        "LD_LIBRARY_PATH",
        "VIRTUAL_ENV",
        "SSL_CERT_FILE",
    )
    found = {key: source[key] for key in kept if key in source}
    # The environment that gameday runs in comes first: `uvicorn`, `celery`, ... of the same set-up.
    found["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{found.get('PATH', os.defpath)}"
    found["PYTHONUNBUFFERED"] = "1"
    return found
