"""Where environment values name other services.

A value names a service where a host stands: in a URL, in `host:port`, in
`host=...` of a connection string, or alone under a key that speaks of hosts.
A value that merely equals a service's name (`POSTGRES_DB: wordpress`) names none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

Span = tuple[int, int]

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.:_-]{0,60}?)://"
    r"(?P<authority>(?:(?!,\s*[A-Za-z][\w+.:-]{0,60}://)[^/?#\s\"'`<>\\;|(){}])*)"
)
# With an authority: in `dns:///users:50051` the path is the address.
_WHOLE_URL = re.compile(
    r"[A-Za-z][A-Za-z0-9+.:_-]{0,60}?://(?!/)(?:(?!,\s*[A-Za-z][\w+.:-]{0,60}://)[^\s\"'`<>\\;|(){}])*"
)
_HOST_PORT = re.compile(r"(?:(?<![\w./:-])|(?<=//))(?P<host>[A-Za-z0-9][\w.-]*):(?P<port>\d{1,5})(?!\.?\w|-|@)")
_HOST_IN_LIST = re.compile(r"[^\s,;|]+")
_ASSIGNED = re.compile(
    r"(?P<key>[A-Za-z][\w .-]{0,60}?)\s*=\s*(?:tcp:)?(?P<host>[A-Za-z0-9][\w.-]*)(?:[,:](?P<port>\d{1,5}))?"
)
_PORT_ASSIGNED = re.compile(r"\bport\s*=\s*(\d{1,5})", re.IGNORECASE)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_MAX_PORT = 65535

# Under these last words of a key a bare name is a host.
_HOST_WORDS = {
    "ADDR", "ADDRESS", "ADDRESSES", "ADDRS", "BROKERS", "CONNECT", "DSN", "ENDPOINT", "ENDPOINTS", "HOST", "HOSTNAME",
    "HOSTNAMES", "HOSTS", "NODES", "PEERS", "SEEDS", "SERVER", "SERVERS", "UPSTREAM", "UPSTREAMS", "URI", "URIS",
    "URL", "URLS", "DATASOURCE",
}  # fmt: skip
_HOST_PHRASES = (("HOST", "NAME"), ("SEED", "HOSTS"), ("DATA", "SOURCE"), ("CONNECTION", "STRING"))
# Under these last words `name:1234` is no address but an image, a tag or a pair of name and password.
_NO_ADDRESS = {
    "IMAGE",
    "TAG",
    "VERSION",
    "AUTH",
    "CREDENTIALS",
    "PASS",
    "PASSWD",
    "PASSWORD",
    "SECRET",
    "TOKEN",
    "USER",
}
# A key with one of these says who may call, or what others call this service, and not whom it calls.
_NOT_CALLED = {"ALLOWED", "CORS", "NOPROXY", "ORIGIN", "ORIGINS", "REDIRECT", "TRUSTED", "VIRTUAL"}
_NO_PAIR = {"DB", "DATABASE", "KEYSPACE", "NAME", "SCHEMA", "USERNAME", *_NO_ADDRESS}


@dataclass(frozen=True)
class Reference:
    """One place that names `provider`. Spans are half-open, within the value of `key`.

    `port_key` is set where the port stands in an environment key of its own.
    """

    key: str
    provider: str
    host: Span
    scheme: str | None = None
    port: int | None = None
    port_span: Span | None = None
    port_key: str | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.key,) if self.port_key is None else (self.key, self.port_key)


def references(environment: Mapping[str, str], names: Mapping[str, str]) -> list[Reference]:
    """Every place in `environment` that names a service; `names` maps host names, lower case, to services."""
    found = [
        reference
        for key, value in environment.items()
        if not _says_who_may_call(key)
        for reference in _Value(key, value, environment, names).references()
    ]
    return sorted(found, key=lambda each: (each.key, each.host))


def words(key: str) -> list[str]:
    """`dbHostName`, `DB_HOST_NAME`, `db.host.name` -> DB HOST NAME, without a final number."""
    found = [word.upper() for part in re.split(r"[^A-Za-z0-9]+", key) for word in _WORD.findall(part)]
    while len(found) > 1 and found[-1].isdigit():
        found.pop()
    return found


def _says_who_may_call(key: str) -> bool:
    found = words(key)
    return not _NOT_CALLED.isdisjoint(found) or ("NO", "PROXY") in pairwise(found)


def speaks_of_hosts(key: str) -> bool:
    found = words(key)
    if not found:
        return False
    last = found[-1].removesuffix("S") if found[-1] == "STRINGS" else found[-1]
    if last in _HOST_WORDS or (last.endswith("HOST") and last != "GHOST"):
        return True
    pairs = list(pairwise(found))
    # .NET: ConnectionStrings__Redis
    return tuple(found[-2:]) in _HOST_PHRASES or ("CONNECTION", "STRINGS") in pairs


class _Value:
    def __init__(self, key: str, value: str, environment: Mapping[str, str], names: Mapping[str, str]) -> None:
        self.key = key
        self.value = value
        self.environment = environment
        self.names = names
        # One byte a character: a value may be long and full of names.
        self.taken = bytearray(len(value))

    def references(self) -> Iterator[Reference]:
        """Each rule looks only at what the ones before it left."""
        for rule in (self.urls, self.assigned, self.addresses, self.bare):
            yield from rule()

    def reference(
        self, host: str, start: int, *, scheme: str | None = None, port: str | None = None, port_start: int = 0
    ) -> Iterator[Reference]:
        provider = self.names.get(host.lower())
        span = (start, start + len(host))
        if provider is None or any(self.taken[slice(*span)]):
            return
        self.take(span)
        if port:
            place = (port_start, port_start + len(port))
            self.take(place)
            yield Reference(self.key, provider, span, scheme, int(port), place)
        else:
            yield Reference(self.key, provider, span, scheme)

    def take(self, span: Span) -> None:
        self.taken[slice(*span)] = b"\1" * (span[1] - span[0])

    def urls(self) -> Iterator[Reference]:
        for url in _URL.finditer(self.value) if "://" in self.value else ():
            start = url.start("authority") + url["authority"].rfind("@") + 1
            for part in url["authority"][url["authority"].rfind("@") + 1 :].split(","):
                host, _, port = part.partition(":")
                if not port or _is_port(port):
                    place = start + len(host) + 1
                    yield from self.reference(host, start, scheme=url["scheme"], port=port, port_start=place)
                start += len(part) + 1
        # Nothing else of a URL is an address: not its credentials, not its path.
        for url in _WHOLE_URL.finditer(self.value) if "://" in self.value else ():
            self.take(url.span())

    def assigned(self) -> Iterator[Reference]:
        """`Server=db;Port=5432`, `host=db port=5432`, `-Ddb.host=db`."""
        if "=" not in self.value:
            return
        sibling = _PORT_ASSIGNED.search(self.value)
        for pair in _ASSIGNED.finditer(self.value):
            if not speaks_of_hosts(pair["key"]):
                continue
            port, place = pair["port"], pair.start("port")
            if port is None and sibling:
                port, place = sibling[1], sibling.start(1)
            yield from self.reference(pair["host"], pair.start("host"), port=port, port_start=place)

    def addresses(self) -> Iterator[Reference]:
        """`host:port`, alone or in a list."""
        found = words(self.key)
        if found and found[-1] in _NO_ADDRESS:
            return
        for pair in _HOST_PORT.finditer(self.value):
            if _is_port(pair["port"]):
                yield from self.reference(
                    pair["host"], pair.start("host"), port=pair["port"], port_start=pair.start("port")
                )

    def bare(self) -> Iterator[Reference]:
        """A name alone, its port in a key beside this one; or a list of names."""
        if port_key := self.port_key():
            for reference in self.whole():
                yield Reference(
                    self.key, reference.provider, reference.host, None, self.port_in(port_key), None, port_key
                )
        elif speaks_of_hosts(self.key):
            for token in _HOST_IN_LIST.finditer(self.value):
                yield from self.reference(token[0], token.start())

    def whole(self) -> Iterator[Reference]:
        start = len(self.value) - len(self.value.lstrip())
        return self.reference(self.value.strip(), start)

    def port_in(self, key: str) -> int:
        return int(self.environment[key])

    def port_key(self) -> str | None:
        """The key that holds the port: DB_HOST -> DB_PORT, dbHost -> dbPort, REDIS -> REDIS_PORT."""
        candidates = [self.key + suffix for suffix in ("_PORT", "_port", "Port", ".port")]
        if speaks_of_hosts(self.key):
            candidates = [*_port_names(self.key), *candidates]
        elif not words(self.key) or words(self.key)[-1] in _NO_PAIR:
            return None
        return next((key for key in candidates if _is_port(self.environment.get(key, ""))), None)


_HOST_PART = re.compile(r"(host_?name|host|server|addr(?:ess)?|endpoint|url)(?=[_\d]*$)", re.IGNORECASE)


def _port_names(key: str) -> Iterator[str]:
    match = _HOST_PART.search(key)
    if match:
        word = match[0]
        port = "PORT" if word.isupper() else "Port" if word[0].isupper() else "port"
        yield key[: match.start()] + port + key[match.end() :]


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= len(str(_MAX_PORT)) and 0 < int(text) <= _MAX_PORT
