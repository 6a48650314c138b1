"""`rabbitmq`: the broker of the Debian package rabbitmq-server, as a node of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from gameday.errors import GamedayError
from gameday.runtime.images import Launch, Place
from gameday.runtime.ports import private

PORTS: tuple[int, ...] = (5672,)
HTTP = False
_HOME = Path("/usr/lib/rabbitmq")
_SERVER = _HOME / "bin" / "rabbitmq-server"
_MANAGEMENT, _METRICS = 15672, 15692
_PACKAGE = "apt-get install rabbitmq-server"


def missing() -> str | None:
    return None if _SERVER.exists() else _PACKAGE


def version() -> str:
    return f"RabbitMQ {next(iter(_HOME.glob('lib/rabbitmq_server-*'))).name.partition('-')[2]}"


def program() -> str:
    if missing():
        raise GamedayError(f"RabbitMQ is not installed: {_PACKAGE}")
    return str(_SERVER)


async def prepare(place: Place) -> Launch:
    home = place.path("/var/lib/rabbitmq")
    (home / "log").mkdir(parents=True, exist_ok=True)
    (home / "rabbitmq.conf").write_text("\n".join(_config(place)) + "\n")
    (home / "enabled_plugins").write_text(f"[{','.join(_plugins(place))}].\n")
    distribution, epmd = private(place.home, 2)
    # Two systems on one machine are two nodes, each with an epmd of its own.
    node = f"gameday-{hashlib.sha256(str(place.home).encode()).hexdigest()[:8]}@localhost"
    environment = {
        **place.inherited,
        "PATH": f"{_HOME / 'bin'}:{place.inherited['PATH']}",
        "HOME": str(home),
        "RABBITMQ_NODENAME": node,
        "RABBITMQ_DIST_PORT": str(distribution),
        "ERL_EPMD_PORT": str(epmd),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_PID_FILE": str(home / "pid"),
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
        # Makes the script replace itself by the VM: no shell is left in between, which a kill would hit instead.
        "RUNNING_UNDER_SYSTEMD": "true",
        # One scheduler boots fastest: 2.6 s against 4.2 s on two cores.
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none",
    }
    return Launch((program(),), environment, home)


def _config(place: Place) -> Iterator[str]:
    mounted = place.path("/etc/rabbitmq/rabbitmq.conf")
    if mounted.is_file():
        yield mounted.read_text()
    yield f"listeners.tcp.1 = {place.endpoints[PORTS[0]]}"
    yield "loopback_users = none"
    for key, variable in (("user", "RABBITMQ_DEFAULT_USER"), ("pass", "RABBITMQ_DEFAULT_PASS"), ("vhost", "RABBITMQ_DEFAULT_VHOST")):  # fmt: skip  # noqa: E501
        if variable in place.environment:
            yield f"default_{key} = {place.environment[variable]}"
    for port, listener in ((_MANAGEMENT, "management.tcp"), (_METRICS, "prometheus.tcp")):
        if port in place.endpoints:
            yield f"{listener}.ip = 127.0.0.1"
            yield f"{listener}.port = {place.endpoints[port].port}"


def _plugins(place: Place) -> Iterator[str]:
    """A plugin costs seconds to boot: only what has a port that compose names."""
    if _MANAGEMENT in place.endpoints:
        yield "rabbitmq_management"
    if _METRICS in place.endpoints:
        yield "rabbitmq_prometheus"
