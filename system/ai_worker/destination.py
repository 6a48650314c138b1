"""Where a callback may go: to the services that the environment names, and to public addresses by HTTPS.

An address comes from whoever asked for the work, and the request to it from inside the network (CWE-918). So it is
taken apart here, once, and what is asked for is made of the parts: two readers of one address may read it differently.
A name is resolved once, all its addresses are looked at, and the connection goes to one that was looked at: a name may
mean another address a moment later. Redirects are for the caller not to follow.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from system.kit.tasks import URL_LENGTH

Address = IPv4Address | IPv6Address
Resolve = Callable[[str], Awaitable[Sequence[Address]]]

RESOLVE_SECONDS = 3.0
# Receivers listen here. Anything else is more likely something that takes a request for its own language.
PORTS = frozenset({443, 8443})
HOST_LENGTH = 253

# Printable ASCII, less what one reader takes for a separator and another does not.
_PLAIN = re.compile(r"[!#-;=?-Z\[\]_a-z~]+")
_AUTHORITY = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(?P<port>[1-9]\d{0,4}))?")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
# By such a last label a browser knows an IPv4 address, in decimal, octal or hexadecimal.
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*")
_HIGHEST_PORT = 65535

# What Python takes for global, and is a network's own business: protocols of the IETF, with the metadata of Oracle's
# cloud among them (Python 3.11 knows only a part of the block), the metadata of Azure, relays of 6to4.
_NOT_OURS_4 = tuple(map(IPv4Network, ("192.0.0.0/24", "168.63.129.16/32", "192.88.99.0/24")))
# Everything that is not unicast is out, and with it IPv4 in IPv6 (mapped, compatible, translated by NAT64). Within it:
# protocols of the IETF with Teredo, 6to4, documentation.
_UNICAST_6 = IPv6Network("2000::/3")
_NOT_OURS_6 = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))


class RefusedError(Exception):
    """A callback must not go there. The message says why, and may be shown to whoever asked."""


class UnresolvedError(Exception):
    """The name has no address now."""


@dataclass(frozen=True)
class Target:
    """An address, taken apart. `path` is with its query; `host` is lower case, an IPv6 address without brackets."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """As it stands in a Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True)
class Way:
    """How a target is reached: at `base`, a service's own address, or by connecting to `address`."""

    target: Target
    service: str | None = None
    base: str | None = None
    address: Address | None = None


_DEFAULT_PORTS: Mapping[str, int] = {"http": 80, "https": 443}


class Guard:
    """`services` are those that callbacks may go to, by name, with the address at which each is reached."""

    def __init__(self, services: Mapping[str, str], resolve: Resolve | None = None) -> None:
        self._services = services
        self._resolve = resolve or addresses

    def look(self, url: str) -> Target:
        """What can be said of an address without asking anybody. Raises RefusedError."""
        target = parse(url)
        if target.host in self._services:
            return target
        if target.scheme != "https":
            raise RefusedError("a callback outside this system has to be https")
        if target.port not in PORTS:
            raise RefusedError(f"port {target.port} is not one of {', '.join(map(str, sorted(PORTS)))}")
        if "." not in target.host and ":" not in target.host:
            raise RefusedError(f"{target.host!r} is neither a service that takes callbacks nor a public name")
        literal = _literal(target.host)
        if literal is not None:
            check(literal)
        return target

    async def way(self, url: str) -> Way:
        """Raises RefusedError, UnresolvedError."""
        target = self.look(url)
        if target.host in self._services:
            return Way(target, service=target.host, base=self._services[target.host])
        literal = _literal(target.host)
        found = [literal] if literal is not None else await self._resolve(target.host)
        if not found:
            raise UnresolvedError(f"{target.host} has no address")
        for address in found:
            check(address)
        return Way(target, address=found[0])


def parse(url: str) -> Target:
    """Raises RefusedError for everything but a plain `http` or `https` address."""
    if len(url) > URL_LENGTH:
        raise RefusedError(f"the address has more than {URL_LENGTH} characters")
    scheme, _, rest = url.partition("://")
    if scheme.lower() not in _DEFAULT_PORTS:
        raise RefusedError("the address has to begin with https://")
    if not _PLAIN.fullmatch(rest):
        raise RefusedError("the address holds signs that do not belong into one; encode them")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in authority:
        raise RefusedError("the address must not hold a name or a password")
    if "#" in rest:
        raise RefusedError("the address must not hold a fragment")
    host, port = _host_and_port(authority.lower(), _DEFAULT_PORTS[scheme.lower()])
    path = rest[len(authority) :]
    return Target(scheme.lower(), host, port, path if path.startswith("/") else f"/{path}")


def check(address: Address) -> None:
    """Raises RefusedError for everything but a public address of one host."""
    if isinstance(address, IPv4Address):
        public = address.is_global and not address.is_multicast and not _within(address, _NOT_OURS_4)
    else:
        public = address.is_global and address in _UNICAST_6 and not _within(address, _NOT_OURS_6)
    if not public:
        raise RefusedError(f"{address} is no public address")


async def addresses(host: str) -> list[Address]:
    """All of them, in the system's order. Raises UnresolvedError."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(RESOLVE_SECONDS):
            found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError) as error:
        raise UnresolvedError(f"{host} cannot be resolved: {error}") from error
    return list(dict.fromkeys(ip_address(where[0]) for *_, where in found))


def _host_and_port(authority: str, default: int) -> tuple[str, int]:
    found = _AUTHORITY.fullmatch(authority)
    port = int(found["port"] or default) if found else 0
    if found is None or port > _HIGHEST_PORT:
        raise RefusedError(f"{authority!r} is no host with a port")
    host = found["host"]
    if host.startswith("["):
        try:
            return str(IPv6Address(host[1:-1])), port
        except ValueError:
            raise RefusedError(f"{host} is no IPv6 address") from None
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]) and _literal(host) is None:
        raise RefusedError(f"{host} is no IPv4 address; write four decimal numbers")
    if len(host) > HOST_LENGTH or not all(_LABEL.fullmatch(label) for label in labels):
        raise RefusedError(f"{host!r} is no name of a host")
    return host, port


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _within(address: Address, networks: Sequence[IPv4Network] | Sequence[IPv6Network]) -> bool:
    return any(address in network for network in networks)
