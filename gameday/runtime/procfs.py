"""What the kernel says of processes and sockets. Reads /proc, and signals through pidfds.

Nothing here trusts a bare pid: pids are reused, so a process is named by pid,
start time and boot (`ProcessId`), and signalled through a pidfd that was opened
before the identity was checked.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from gameday.runtime import ProcessId

_PROC = Path("/proc")
_LISTEN = "0A"
_ESTABLISHED = "01"


@dataclass(frozen=True)
class Stat:
    """`state` is the kernel's letter: R S D running or asleep, T t stopped, Z X dead."""

    id: ProcessId
    parent: int
    state: str

    @property
    def dead(self) -> bool:
        return self.state in "ZX"

    @property
    def stopped(self) -> bool:
        return self.state in "Tt"


@dataclass(frozen=True)
class Connection:
    """An established TCP connection as one of its ends holds it."""

    local_port: int
    remote_port: int
    inode: int


@cache
def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def stat(pid: int) -> Stat | None:
    """None where there is no such process (any more)."""
    try:
        # Not a Path: this is read for every process of the machine.
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123
            text = file.read().decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command stands in parentheses and may itself hold spaces and parentheses.
    fields = text[text.rindex(")") + 2 :].split()
    return Stat(ProcessId(pid, int(fields[19]), boot_id()), int(fields[1]), fields[0])


def identify(pid: int) -> ProcessId | None:
    """Names the living process `pid`; None where it is gone or a zombie."""
    found = stat(pid)
    return None if found is None or found.dead else found.id


def state(process: ProcessId) -> str | None:
    """The kernel's letter for `process`; None once it is gone and reaped or its pid is another's."""
    found = stat(process.pid)
    return found.state if found is not None and found.id == process else None


def alive(process: ProcessId) -> bool:
    """A stopped process is alive, a zombie is not."""
    letter = state(process)
    return letter is not None and letter not in "ZX"


def send(process: ProcessId, sig: signal.Signals) -> bool:
    """Signals exactly `process`. False where it is gone; never reaches a reused pid."""
    try:
        pidfd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        if not alive(process):
            return False
        signal.pidfd_send_signal(pidfd, sig)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(pidfd)


def snapshot() -> dict[int, Stat]:
    """Every process of the machine, zombies included, by pid."""
    found = map(stat, _pids())
    return {entry.id.pid: entry for entry in found if entry is not None}


def tree(roots: Iterable[int], table: Mapping[int, Stat] | None = None) -> list[Stat]:
    """`roots` and all their descendants that live, parents first."""
    table = snapshot() if table is None else table
    children = defaultdict(list)
    for entry in table.values():
        children[entry.parent].append(entry.id.pid)
    order: list[int] = []
    waiting = [pid for pid in roots if pid in table]
    while waiting:
        pid = waiting.pop(0)
        if pid not in order:
            order.append(pid)
            waiting += sorted(children[pid])
    return [table[pid] for pid in order if not table[pid].dead]


def environment(pid: int) -> dict[str, str]:
    """The environment that `pid` was started with; empty where it may not be read."""
    try:
        content = (_PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return {}
    pairs = (entry.partition("=") for entry in content.decode(errors="replace").split("\0") if "=" in entry)
    return {key: value for key, _, value in pairs}


def command(pid: int) -> str:
    """The command line of `pid` for people; empty where it is gone."""
    try:
        return (_PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def directory(pid: int) -> Path | None:
    """The working directory of `pid`; None where it is gone or may not be read."""
    try:
        return (_PROC / str(pid) / "cwd").readlink()
    except OSError:
        return None


def pss_mb(pids: Iterable[int]) -> float:
    """The summed proportional memory of `pids` in MiB: shared pages are counted once in all."""
    return sum(map(_pss_kb, pids)) / 1024


def _pss_kb(pid: int) -> int:
    try:
        content = (_PROC / str(pid) / "smaps_rollup").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in content.splitlines() if line.startswith("Pss:")), 0)


def listener(port: int) -> int | None:
    """The pid that listens on `port`; None where nobody does or it may not be seen."""
    inodes = {inode for local, _, state, inode in _sockets() if state == _LISTEN and local == port}
    owners = socket_owners(_pids()) if inodes else {}
    return next((owners[inode] for inode in inodes if inode in owners), None)


def served(ports: Collection[int]) -> set[int]:
    """The inodes of every server's socket on one of `ports`, be it listening or in talk with somebody."""
    return {inode for local, _, state, inode in _sockets() if local in ports and state in (_LISTEN, _ESTABLISHED)}


def connections() -> list[Connection]:
    return [Connection(local, remote, inode) for local, remote, state, inode in _sockets() if state == _ESTABLISHED]


def socket_owners(pids: Iterable[int]) -> dict[int, int]:
    """Socket inode -> pid for every socket that one of `pids` holds open."""
    owners: dict[int, int] = {}
    for pid in pids:
        for link in _links(pid):
            if link.startswith("socket:["):
                owners[int(link[8:-1])] = pid
    return owners


def _links(pid: int) -> Iterator[str]:
    # Strings, not Path objects: this is read for every file of every process once a second.
    with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/fd") as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                yield os.readlink(entry.path)  # noqa: PTH115


def _pids() -> list[int]:
    with os.scandir(_PROC) as entries:
        return [int(entry.name) for entry in entries if entry.name.isdigit()]


def _sockets() -> Iterator[tuple[int, int, str, int]]:
    """(local port, remote port, state, inode) of every TCP socket."""
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in (_PROC / "net" / name).read_text().splitlines()[1:]:
                fields = line.split()
                yield _port(fields[1]), _port(fields[2]), fields[3], int(fields[9])


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)
