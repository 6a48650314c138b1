"""Rewrites addresses: what compose names becomes where it listens on this machine.

Pure functions over environment values, arguments and configuration files. Inside a
compose network a service is its name and its container port; here it is loopback
and the port it was given.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gameday.runtime import Endpoint
from gameday.runtime.ports import LOOPBACK

_OWN_HOSTS = ("localhost", "127.0.0.1", "0.0.0.0")  # noqa: S104 - recognised, never bound
_EVERYWHERE = "0.0.0.0"  # noqa: S104 - replaced by loopback


def own(values: Mapping[str, str], endpoints: Mapping[int, Endpoint]) -> dict[str, str]:
    """Environment values that say where the service itself listens: `PORT`, `0.0.0.0`, `0.0.0.0:8000`."""
    return {key: _own_value(key, value, endpoints) for key, value in values.items()}


def arguments(argv: Iterable[str], endpoints: Mapping[int, Endpoint]) -> list[str]:
    """A command that listens: `0.0.0.0` becomes loopback, its own container port the allotted one.

    A port counts where it stands alone, after `=` or after `:`.
    """
    return [_own_ports(argument.replace(_EVERYWHERE, LOOPBACK), endpoints) for argument in argv]


def text(content: str, table: Mapping[str, str]) -> str:
    """Replaces every `name:port` that is a key of `table`, as a whole word."""
    if not table:
        return content
    names = "|".join(re.escape(name) for name in sorted(table, key=len, reverse=True))
    return re.sub(rf"(?<![\w.-])(?:{names})(?!\d)", lambda match: table[match[0]], content)


def targets(content: str, replicas: Mapping[str, Sequence[str]]) -> str:
    """A Prometheus configuration that names every replica where it named their service.

    `replicas`: `web:80` -> `web-1:80`, `web-2:80`. Only whole entries under `targets` are
    lists of what is to be scraped; in a URL or a relabelling one address must stay one.
    """
    if "static_configs" not in content or not any(address in content for address in replicas):
        return content
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    reader = YAML(typ="rt")
    try:
        tree = reader.load(content)
    except YAMLError:
        return content  # whose reader will say what is wrong with it
    _list_replicas(tree, replicas)
    written = io.StringIO()
    reader.dump(tree, written)
    return written.getvalue()


def _list_replicas(tree: Any, replicas: Mapping[str, Sequence[str]]) -> None:
    children = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, child in children:
        if key == "targets" and isinstance(child, list):
            tree[key] = [each for target in child for each in replicas.get(target, [target])]
        else:
            _list_replicas(child, replicas)


def health(test: Iterable[str], name: str, endpoints: Mapping[int, Endpoint]) -> list[str]:
    """A health test, which asks its own service at `localhost:PORT` or by its name."""
    table = {f"{host}:{port}": str(endpoint) for host in (*_OWN_HOSTS, name) for port, endpoint in endpoints.items()}
    return [text(argument, table) for argument in test]


def paths(value: str, mounts: Mapping[str, Path]) -> str:
    """Replaces container paths below a mount by the path on this machine."""
    if not mounts:
        return value
    targets = "|".join(re.escape(target) for target in sorted(mounts, key=len, reverse=True))
    return re.sub(rf"(?<![\w./-])(?:{targets})(?=/|$|[\s:,;'\"])", lambda match: str(mounts[match[0]]), value)


def _own_value(key: str, value: str, endpoints: Mapping[int, Endpoint]) -> str:
    if value == _EVERYWHERE:
        return LOOPBACK
    if (key == "PORT" or key.endswith("_PORT")) and value.isdigit() and int(value) in endpoints:
        return str(endpoints[int(value)].port)
    return text(value, {f"{_EVERYWHERE}:{port}": str(endpoint) for port, endpoint in endpoints.items()})


def _own_ports(argument: str, endpoints: Mapping[int, Endpoint]) -> str:
    ports = "|".join(str(port) for port in endpoints)
    if not ports:
        return argument
    return re.sub(rf"(?<![^\s:=])(?:{ports})(?![\w.])", lambda match: str(endpoints[int(match[0])].port), argument)
