"""Two services use the same database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gameday.catalogue import Catalogue, Service, edges
from gameday.catalogue.kinds import image_name
from gameday.catalogue.model import EdgeKind, Location, OnLoss
from gameday.lint.access import access
from gameday.lint.rule import Look, Rule, Smell, System

_REDIS = {"redis", "redis-stack", "redis-stack-server", "valkey", "keydb", "dragonfly"}
# What only looks at a database owns none of it.
_LOOKS_ON = ("-exporter", "adminer", "pgadmin4", "phpmyadmin", "redisinsight")


@dataclass(frozen=True)
class Tenant:
    """Who uses which database of a store; None where the file does not say. What is `expendable` is a cache."""

    service: Service
    store: str
    database: str | None
    role: str | None
    place: Location
    expendable: bool

    @property
    def code(self) -> object:
        """What it was built from: a web server and its worker may be one service in two processes."""
        built = (self.service.build, self.service.dockerfile)
        return self.service.image or (built if self.service.build else self.service.name)


def look(system: System) -> Look:
    tenants = list(_tenants(system.catalogue))
    databases: dict[tuple[str, str], list[Tenant]] = {}
    for tenant in tenants:
        if tenant.database is not None:
            databases.setdefault((tenant.store, tenant.database), []).append(tenant)
    shared = {place: users for place, users in databases.items() if len({user.code for user in users}) > 1}
    smells = [_smell(*place, users) for place, users in shared.items() if not all(user.expendable for user in users)]
    caches = sorted(
        f"{store}/{name}" for (store, name), users in shared.items() if all(one.expendable for one in users)
    )
    seen = f"databases: {len(databases)}, in stores: {len({store for store, _ in databases})}" if databases else ""
    passed = f"; shared as a cache: {', '.join(caches)}" if caches else ""
    unseen = list(_unseen(system.catalogue, tenants))
    return Look(smells, seen and seen + passed, unseen if seen or unseen else ["no edge to a database is known"])


def _tenants(catalogue: Catalogue) -> Iterator[Tenant]:
    stores = {(edge.consumer, edge.provider): edge for edge in catalogue.edges if edge.kind is EdgeKind.STORE}
    for service in catalogue.services.values():
        if image_name(service).endswith(_LOOKS_ON):
            continue
        for reference in edges.calls(service, catalogue.names[service.name]):
            if edge := stores.get((service.name, reference.provider)):
                store = catalogue.services[edge.provider]
                found = access(service.environment, reference)
                yield Tenant(
                    service,
                    store.name,
                    found.database or ("0" if image_name(store) in _REDIS else None),
                    found.role,
                    service.written.get(reference.key, service.location),
                    _forgets(store) or (image_name(store) in _REDIS and edge.on_loss is OnLoss.FALLBACK),
                )


def _forgets(store: Service) -> bool:
    """Whether the store drops what it holds when it is full: nobody keeps there what must not be lost."""
    told = " ".join(store.command or ())
    return image_name(store) == "memcached" or ("maxmemory-policy" in told and "noeviction" not in told)


def _smell(store: str, database: str, users: list[Tenant]) -> Smell:
    names = sorted({user.service.name for user in users})
    roles = sorted({user.role for user in users if user.role})
    last = max(users, key=lambda user: user.place.line)
    told = f", as {' and '.join(roles)}" if roles else ""
    return Smell(f"{store}/{database} of {' and '.join(names)}", f"{len(names)} services use it{told}", last.place)


def _unseen(catalogue: Catalogue, tenants: list[Tenant]) -> Iterator[str]:
    """Of stores with several consumers those of which the file does not say what of it they use."""
    known = {(tenant.service.name, tenant.store) for tenant in tenants if tenant.database is not None}
    consumers: dict[str, set[str]] = {}
    for edge in catalogue.edges:
        if edge.kind is EdgeKind.STORE and not image_name(catalogue.services[edge.consumer]).endswith(_LOOKS_ON):
            consumers.setdefault(edge.provider, set()).add(edge.consumer)
    for store, names in consumers.items():
        silent = sorted(name for name in names if (name, store) not in known)
        if silent and len(names) > 1 and not _forgets(catalogue.services[store]):
            yield f"which database of {store} is used by {' and '.join(silent)}: the environment does not say"


RULE = Rule(
    "shared-database",
    "Each database has one service that uses it",
    "no schema can change without all who use it, and one slow query or full pool stops them all",
    "give each service a database and a role of its own, and let others ask the service",
    look,
)
