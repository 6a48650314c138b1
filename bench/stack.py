"""What the measurements side by side have in common: servers pinned to a core, rounds in turn, ratios."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests/integration"))

from ports import free_port
from servers import Server, eventually, package

__all__ = [
    "LOAD_CORE",
    "MEASURED_CORE",
    "ROOT",
    "Pinned",
    "Rounds",
    "Stack",
    "free_port",
    "need",
    "package",
    "stack",
    "wrk",
]

ROOT = Path(__file__).parents[1]
# What is measured has a core for itself; whoever asks and whoever is asked share the other.
MEASURED_CORE, LOAD_CORE = 0, 1


def need(program: str, mend: str) -> str:
    """The path of a program. Exits with 2 where it is not here."""
    found = shutil.which(program) or shutil.which(program, path=str(Path(sys.executable).parent))
    if not found:
        print(f"{program} is not here; mend: {mend}", file=sys.stderr)
        raise SystemExit(2)
    return found


@dataclass
class Pinned(Server):
    """A server that runs on one core, and says with the kernel's own counters what it cost."""

    core: int = LOAD_CORE

    def start(self) -> None:
        self.command = [need("taskset", "apt-get install util-linux"), "-c", str(self.core), *self.command]
        super().start()

    def cpu_seconds(self) -> float:
        """User and system time of the process and of all its children so far."""
        top = psutil.Process(self.pid)
        times = [process.cpu_times() for process in (top, *top.children(recursive=True))]
        return float(sum(each.user + each.system for each in times))


@dataclass
class Stack:
    """Servers of one measurement, in a directory of their own; all ended when it is over."""

    directory: Path
    servers: list[Pinned] = field(default_factory=list)

    def start(self, name: str, command: Sequence[str], port: int, core: int, **environment: str) -> Pinned:
        server = Pinned(list(command), port, self.directory / f"{name}.log", environment, core=core)
        self.servers.append(server)
        server.start()
        eventually(lambda: listens(port), 20, f"{name} does not listen; see {server.log.read_text()[-2000:]}")
        return server

    def write(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path


@contextmanager
def stack() -> Iterator[Stack]:
    """Ends every server after success, failure and Ctrl-C."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    with tempfile.TemporaryDirectory(prefix="gameday-bench-") as name:
        made = Stack(Path(name))
        Path(name).chmod(0o755)
        try:
            yield made
        finally:
            for server in reversed(made.servers):
                server.stop()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Rounds:
    """Contestants measured in turn, so that what drifts drifts for all; the median of each counts."""

    def __init__(self, contestants: Mapping[str, Callable[[], float]], rounds: int, unit: str) -> None:
        self.unit = unit
        self.figures: dict[str, list[float]] = {name: [] for name in contestants}
        for number in range(rounds):
            for name, measure in contestants.items():
                self.figures[name].append(measure())
                print(f"round {number + 1} of {rounds}: {name}: {self.figures[name][-1]:,.0f} {unit}", file=sys.stderr)

    def median(self, name: str) -> float:
        return statistics.median(self.figures[name])

    def ratio(self, name: str, peer: str) -> float:
        """The median of the ratios of each round."""
        return statistics.median(a / b for a, b in zip(self.figures[name], self.figures[peer], strict=True))

    def show(self, title: str, of: str, peers: Sequence[str], more: Mapping[str, str] | None = None) -> None:
        more = more or {}
        table = Table("", self.unit, "least to most", f"{of} to it", *(["CPU"] if more else []), title=title)
        for name, figures in self.figures.items():
            ratio = f"{self.ratio(of, name):.2f}" if name in peers else ""
            spread = f"{min(figures):,.0f} to {max(figures):,.0f}"
            table.add_row(name, f"{self.median(name):,.0f}", spread, ratio, *([more.get(name, "")] if more else []))
        Console(width=100).print(table)

    def json(self, of: str) -> str:
        ratios = {name: round(self.ratio(of, name), 3) for name in self.figures if name != of}
        medians = {name: round(self.median(name), 1) for name in self.figures}
        return json.dumps({"unit": self.unit, "medians": medians, "ratios": ratios}, indent=2)


def wrk(url: str, seconds: float, connections: int, headers: Mapping[str, str], script: Path | None = None) -> float:
    """Requests a second; `script` is a Lua file that makes them.

    Raises where any was not answered with 2xx or 3xx: then nothing was measured.
    """
    sent = [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
    command = ["taskset", "-c", str(LOAD_CORE), need("wrk", "apt-get install wrk"), "-t1", f"-c{connections}"]
    done = subprocess.run(
        [*command, f"-d{seconds:g}s", *sent, *(["-s", str(script)] if script else []), url],
        capture_output=True,
        text=True,
        check=True,
    )
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise SystemExit(f"{url}: not every request was answered:\n{done.stdout}")
    found = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    assert found, done.stdout
    return float(found[1])
