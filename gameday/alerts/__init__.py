"""From promises to alerts: `alerts/slos.toml` and the catalogue become files for Prometheus and Alertmanager."""

from __future__ import annotations

from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import LiteralScalarString

from gameday.alerts import config, promtests, rules
from gameday.alerts.prediction import detection
from gameday.alerts.slos import Slos, read
from gameday.catalogue import Catalogue
from gameday.errors import InputError, Problem

__all__ = ["Slos", "build", "detection", "file", "promised", "read", "yaml"]


def file(catalogue: Catalogue) -> Path:
    """The SLO file of `catalogue`. Raises InputError where it names none."""
    path = catalogue.telemetry.slos
    if path is None:
        mend = "add x-gameday.telemetry.slos: alerts/slos.toml"
        raise InputError(Problem("names no SLO file", mend, catalogue.files[0], key="x-gameday.telemetry.slos"))
    return path


def promised(catalogue: Catalogue) -> Slos:
    """What the SLO file of `catalogue` promises. Raises InputError where it names none, or a wrong one."""
    return read(file(catalogue), catalogue)


def build(slos: Path, catalogue: Catalogue, time_scale: float, out: Path) -> list[Path]:
    """Writes the configuration, the rules and their tests to the directory `out`; returns the paths.

    At a time scale other than 1 the timers are divided by it, down to their
    floors (`timers.py`), and arms too long to be proven are left out. Raises
    InputError with all that is wrong in `slos`.
    """
    promised = read(slos, catalogue)
    contents = {
        "prometheus.yml": config.prometheus(catalogue, time_scale),
        "rules.yml": rules.groups(promised, time_scale),
        "alertmanager.yml": config.alertmanager(catalogue, time_scale),
        **promtests.tests(promised, time_scale),
    }
    out.mkdir(parents=True, exist_ok=True)
    return [_write(out / name, _head(slos, time_scale) + yaml(content)) for name, content in contents.items()]


def _head(slos: Path, time_scale: float) -> str:
    scale = "" if time_scale == 1 else f" at time scale {time_scale:g}"
    return f"# Generated{scale} by `gameday alerts build` from {slos.name}. Change that and build again.\n"


def yaml(content: Mapping[str, Any]) -> str:
    writer = YAML()
    writer.default_flow_style = False
    writer.width = 1000
    writer.indent(mapping=2, sequence=4, offset=2)
    text = StringIO()
    writer.dump(_readable(content), text)
    return text.getvalue()


def _readable(content: Any) -> Any:
    """Expressions of several lines become literal blocks."""
    if isinstance(content, Mapping):
        return {key: _readable(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_readable(value) for value in content]
    return LiteralScalarString(content) if isinstance(content, str) and "\n" in content else content


def _write(path: Path, text: str) -> Path:
    """Atomically, and only where it changed: a Prometheus may be reading."""
    if not path.exists() or path.read_text() != text:
        fresh = path.with_name(path.name + ".new")
        fresh.write_text(text)
        fresh.replace(path)
    return path
