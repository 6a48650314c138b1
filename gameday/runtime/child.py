"""A process that was started, and how it ends."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from gameday.errors import GamedayError
from gameday.runtime import ProcessId, procfs


@dataclass(frozen=True)
class Child:
    """`ended` holds the exit code once the process is gone, -N after signal N."""

    process: ProcessId
    ended: asyncio.Future[int]


def spawn(argv: Sequence[str], *, environment: Mapping[str, str], directory: Path, output: IO[bytes] | int) -> Child:
    """Starts `argv` in a session of its own. Raises GamedayError where it cannot be run."""
    try:
        process = subprocess.Popen(
            argv,
            env=dict(environment),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise GamedayError(f"{argv[0]} cannot be run: {error.strerror}") from error
    return Child(name(process.pid), watch(process.pid, process.wait))


def name(pid: int) -> ProcessId:
    """The identity of a process that was just started, also where it has ended already."""
    found = procfs.stat(pid)
    # Start time 0 is nobody's: nothing can ever be signalled under such a name.
    return found.id if found is not None else ProcessId(pid, 0, procfs.boot_id())


def watch(pid: int, reap: Callable[[], int]) -> asyncio.Future[int]:
    """Resolves with `reap()` once the kernel says through a pidfd that `pid` has ended.

    No thread, no polling, no SIGCHLD handler; raises ProcessLookupError where there is no `pid`.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[int] = loop.create_future()
    pidfd = os.pidfd_open(pid)

    def resolve() -> None:
        loop.remove_reader(pidfd)
        os.close(pidfd)
        ended.set_result(reap())

    loop.add_reader(pidfd, resolve)
    return ended


async def run(
    argv: Sequence[str], *, environment: Mapping[str, str], directory: Path, timeout: float
) -> tuple[int, str]:
    """Exit code and output of a command that is to end by itself. Raises TimeoutError, and ends it then."""
    process = await asyncio.to_thread(
        subprocess.run,
        argv,
        env=dict(environment),
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=timeout,
        check=False,
    )
    return process.returncode, process.stdout.decode(errors="replace")
