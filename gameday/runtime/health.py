"""Compose health checks, run cheaply against a service on loopback.

The tools that health checks call mostly stand inside images and not on this
machine, and starting one costs more than the question. So the usual ones are
asked natively, with the meaning that the tool gives them:

    pg_isready              a startup packet is answered, and not by "starting up"
    redis-cli ping          PING is answered by +PONG
    rabbitmq-diagnostics    AMQP's protocol header is answered by connection.start
    wget, curl URL          GET is answered by a status below 400
    nc -z HOST PORT         the port accepts a connection

`python -m module` is forked from the fork server; anything else runs as the
command that it is, with its addresses rewritten.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import struct
from collections.abc import Awaitable, Callable, Mapping, Sequence
from string import Template
from urllib.parse import urlsplit

from gameday.runtime import Endpoint

# Why a service is not healthy; None where it is.
Answer = str | None
Probe = Callable[[], Awaitable[Answer]]
Command = Callable[[Sequence[str]], Awaitable[Answer]]

_OR_EXIT = re.compile(r"\s*\|\|\s*(?:exit\s+\d+|false)\s*;?\s*$")
_SHELL = re.compile(r"[|&;<>()`$\n]")
_FAIL = frozenset(["-f", "--fail", "-fs", "-sf", "-fsS", "-sSf", "-fsSL", "-sfL"])
# Options of wget and curl that do not change what a GET of one URL says.
_HARMLESS = _FAIL | {
    *("-s", "-S", "-sS", "-q", "-O", "-O-", "-qO-", "-", "/dev/null", "-nv", "--no-verbose", "-o"),
    *("--spider", "--quiet", "--tries=1", "--silent", "--show-error"),
}
_CANNOT_CONNECT_NOW = b"57P03"


def probe(
    test: Sequence[str], endpoints: Mapping[int, Endpoint], environment: Mapping[str, str], run: Command
) -> Probe:
    """The cheapest way to ask `test` (rewritten already). `run` runs a command."""
    argv = _argv(test, environment)
    if argv is None:
        shell = ["/bin/sh", "-c", test[1]]
        return lambda: run(shell)
    native = _NATIVE.get(argv[0].rpartition("/")[2])
    asked = native(argv, endpoints) if native else None
    return asked or (lambda: run(argv))


def listens(endpoints: Mapping[int, Endpoint]) -> Probe:
    """For a service without a health check: one of its ports accepts a connection, or it has none."""

    async def ask() -> Answer:
        for endpoint in endpoints.values():
            if await _exchange(endpoint, b"", lambda _: None) is None:
                return None
        return "listens on none of its ports" if endpoints else None

    return ask


def _argv(test: Sequence[str], environment: Mapping[str, str]) -> list[str] | None:
    """The command of `test`; None where only a shell can read it."""
    if test[0] == "CMD":
        return list(test[1:])
    text = _OR_EXIT.sub("", Template(test[1]).safe_substitute(environment))
    return None if _SHELL.search(text) else shlex.split(text)


def _pg_isready(argv: Sequence[str], endpoints: Mapping[int, Endpoint]) -> Probe | None:
    endpoint = _endpoint(_option(argv, "-p", "--port"), 5432, endpoints)
    user = _option(argv, "-U", "--username") or "postgres"
    body = struct.pack("!I", 196608) + b"user\0" + user.encode() + b"\0database\0" + user.encode() + b"\0\0"
    packet = struct.pack("!I", len(body) + 4) + body
    return (lambda: _exchange(endpoint, packet, _postgres_answer)) if endpoint else None


def _postgres_answer(answer: bytes) -> Answer:
    return None if answer and _CANNOT_CONNECT_NOW not in answer else "the database system is starting up"


def _redis_ping(argv: Sequence[str], endpoints: Mapping[int, Endpoint]) -> Probe | None:
    if argv[-1].lower() != "ping" or {"-a", "--pass", "--tls"} & set(argv):
        return None
    endpoint = _endpoint(_option(argv, "-p"), 6379, endpoints)
    return (lambda: _exchange(endpoint, b"PING\r\n", _redis_answer)) if endpoint else None


def _redis_answer(answer: bytes) -> Answer:
    return None if answer.startswith((b"+PONG", b"-NOAUTH")) else answer.decode(errors="replace").strip()


def _rabbitmq_ping(argv: Sequence[str], endpoints: Mapping[int, Endpoint]) -> Probe | None:
    if "ping" not in argv and "check_port_connectivity" not in argv and "check_running" not in argv:
        return None
    endpoint = _endpoint(None, 5672, endpoints)
    return (lambda: _exchange(endpoint, b"AMQP\x00\x00\x09\x01", _amqp_answer)) if endpoint else None


def _amqp_answer(answer: bytes) -> Answer:
    # A method frame (1) on channel 0 whose class is connection (10) and method start (10).
    return None if answer[:3] == b"\1\0\0" and answer[7:11] == b"\0\x0a\0\x0a" else "no AMQP answer"


def _http_get(argv: Sequence[str], endpoints: Mapping[int, Endpoint]) -> Probe | None:
    urls = [argument for argument in argv[1:] if argument.startswith("http://")]
    if len(urls) != 1 or not _HARMLESS.issuperset(set(argv[1:]) - set(urls)):
        return None
    parts = urlsplit(urls[0])
    endpoint = Endpoint(parts.hostname or "127.0.0.1", parts.port or 80)
    if parts.port is None and 80 in endpoints:  # noqa: PLR2004 - HTTP's port
        endpoint = endpoints[80]
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    request = f"GET {path} HTTP/1.1\r\nHost: {endpoint}\r\nConnection: close\r\n\r\n".encode()
    # curl calls an error page a success unless it is told otherwise.
    lenient = argv[0].endswith("curl") and not _FAIL.intersection(argv)
    return lambda: _exchange(endpoint, request, _any_answer if lenient else _http_answer)


def _http_answer(answer: bytes) -> Answer:
    status = answer[9:12]
    return None if status.isdigit() and int(status) < 400 else f"HTTP {status.decode(errors='replace')}"  # noqa: PLR2004


def _any_answer(answer: bytes) -> Answer:
    return None if answer.startswith(b"HTTP/") else "no HTTP answer"


def _nc(argv: Sequence[str], endpoints: Mapping[int, Endpoint]) -> Probe | None:
    if "-z" not in argv or not argv[-1].isdigit():
        return None
    endpoint = _endpoint(argv[-1], 0, endpoints)
    return (lambda: _exchange(endpoint, b"", lambda _: None)) if endpoint else None


_NATIVE: Mapping[str, Callable[[Sequence[str], Mapping[int, Endpoint]], Probe | None]] = {
    "pg_isready": _pg_isready,
    "redis-cli": _redis_ping,
    "rabbitmq-diagnostics": _rabbitmq_ping,
    "wget": _http_get,
    "curl": _http_get,
    "nc": _nc,
}


def _option(argv: Sequence[str], *names: str) -> str | None:
    for index, argument in enumerate(argv):
        if argument in names and index + 1 < len(argv):
            return argv[index + 1]
        for name in names:
            if argument.startswith(f"{name}=") or (len(name) == 2 and argument.startswith(name) and argument != name):  # noqa: PLR2004
                return argument[len(name) :].removeprefix("=")
    return None


def _endpoint(port: str | None, default: int, endpoints: Mapping[int, Endpoint]) -> Endpoint | None:
    return endpoints.get(int(port) if port and port.isdigit() else default)


def _reason(error: OSError) -> str:
    """asyncio's own text repeats the address."""
    return os.strerror(error.errno).lower() if error.errno else str(error)


async def _exchange(endpoint: Endpoint, question: bytes, judge: Callable[[bytes], Answer]) -> Answer:
    """Connects, asks, judges the first bytes of the answer. The caller sets the deadline."""
    try:
        reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
    except OSError as error:
        return f"{endpoint}: {_reason(error)}"
    try:
        writer.write(question)
        return judge(await reader.read(512) if question else b"")
    except OSError as error:
        return f"{endpoint}: {_reason(error)}"
    finally:
        writer.close()
