"""How compose lays one file over another, and a service over the one that it extends."""

from __future__ import annotations

from typing import Any

from gameday.catalogue.document import OVERRIDE, RESET, Map, Mark, Seq, entries, items, text_of

# Lists that the later file replaces whole; every other list is appended to.
_REPLACED = {"command", "entrypoint", "test"}
_KEYED = ("environment", "labels", "annotations", "sysctls", "args", "extra_hosts")
_LISTED = ("env_file", "dns", "dns_search", "tmpfs", "profiles")


def canonical(document: Map) -> Map:
    """The document with each service in one form: lists of KEY=VALUE as mappings, single values as lists."""
    services = document.get("services")
    if isinstance(services, Map):
        for service in services.values():
            if isinstance(service, Map):
                _canonical_service(service)
    return document


def _canonical_service(service: Map) -> None:
    for key in _KEYED:
        if isinstance(service.get(key), Seq):
            service[key] = _keyed(service[key])
    for key in _LISTED:
        if key in service and not isinstance(service[key], Seq | None):
            service[key] = _single(service[key], service.marks[key])
    if isinstance(service.get("depends_on"), Seq):
        service["depends_on"] = _names(service["depends_on"], "service_started")
    if isinstance(service.get("networks"), Seq):
        service["networks"] = _names(service["networks"])
    if isinstance(build := service.get("build"), str):
        service["build"] = _pair("context", build, service.marks["build"])
    elif isinstance(build, Map) and isinstance(build.get("args"), Seq):
        build["args"] = _keyed(build["args"])


def _keyed(listed: Seq) -> Map:
    """`[A=1, B]` as `{A: "1", B: null}`: a key without a value is passed through."""
    result = Map()
    for item, mark in items(listed):
        key, separator, value = text_of(item).partition("=")
        result.put(key, value if separator else None, mark)
    return result


def _names(listed: Seq, condition: str | None = None) -> Map:
    result = Map()
    for item, mark in items(listed):
        result.put(text_of(item), _pair("condition", condition, mark) if condition else None, mark)
    return result


def _pair(key: str, value: Any, mark: Mark) -> Map:
    result = Map()
    result.put(key, value, mark)
    return result


def _single(value: Any, mark: Mark) -> Seq:
    result = Seq()
    result.put(value, mark)
    return result


def merge(base: Map, over: Map, *, literal: bool = False) -> Map:
    """`over` laid on `base`; neither is changed.

    An empty entry of `over` leaves the one below alone, except where it is
    `literal`: an environment key without a value is passed through.
    """
    result = Map()
    for key, value, mark in entries(base):
        result.put(key, value, mark, base.tags.get(key))
    for key, value, mark in entries(over):
        tag = over.tags.get(key)
        if tag == RESET:
            _drop(result, key)
        elif tag == OVERRIDE or key not in result:
            result.put(key, value, mark, tag)
        else:
            _lay(result, key, value, mark, literal)
    return result


def _lay(result: Map, key: str, value: Any, mark: Mark, literal: bool) -> None:
    below = result[key]
    if value is None and not literal:
        return
    if isinstance(below, Map) and isinstance(value, Map):
        result.put(key, merge(below, value, literal=key in _KEYED), result.marks[key])
    elif isinstance(below, Seq) and isinstance(value, Seq) and key not in _REPLACED:
        result.put(key, _appended(below, value), result.marks[key])
    else:
        result.put(key, value, mark)


def _appended(below: Seq, above: Seq) -> Seq:
    result = Seq()
    for source in (below, above):
        for value, mark in items(source):
            if value not in result:
                result.put(value, mark)
    return result


def settled(value: Any) -> Any:
    """Without the keys that `!reset` took away in the file that first had them."""
    if isinstance(value, Map):
        result = Map()
        for key, child, mark in entries(value):
            if value.tags.get(key) != RESET:
                result.put(key, settled(child), mark)
        return result
    if isinstance(value, Seq):
        listed = Seq()
        for child, mark in items(value):
            listed.put(settled(child), mark)
        return listed
    return value


def _drop(node: Map, key: str) -> None:
    node.pop(key, None)
    node.marks.pop(key, None)
    node.tags.pop(key, None)
