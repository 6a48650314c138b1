"""Processes by what the kernel says: identity, state, tree, signals that reach nobody else."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gameday.runtime import procfs


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def sleeper():  # type: ignore[no-untyped-def]
    process = subprocess.Popen(["/bin/sh", "-c", "sleep 60 & sleep 60 & wait"])
    until(lambda: len(procfs.tree([process.pid])) == 3)
    tree = [entry.id for entry in procfs.tree([process.pid])]
    yield process
    for each in tree:
        procfs.send(each, signal.SIGKILL)
    process.wait()


def test_a_process_is_known_by_pid_start_and_boot() -> None:
    mine = procfs.identify(os.getpid())
    assert mine is not None
    assert mine.boot == procfs.boot_id()
    assert procfs.alive(mine)
    for other in (replace(mine, start=mine.start + 1), replace(mine, boot="another")):
        assert not procfs.alive(other)
        assert procfs.state(other) is None
        assert not procfs.send(other, signal.SIGKILL)


def test_a_tree_has_its_root_first(sleeper: subprocess.Popen[bytes]) -> None:
    root, *children = procfs.tree([sleeper.pid])
    assert root.id.pid == sleeper.pid
    assert {child.parent for child in children} == {sleeper.pid}
    assert procfs.command(children[0].id.pid) == "sleep 60"


def test_stopped_is_alive_and_a_zombie_is_dead(sleeper: subprocess.Popen[bytes]) -> None:
    process = procfs.identify(sleeper.pid)
    assert process
    assert procfs.send(process, signal.SIGSTOP)
    until(lambda: procfs.state(process) == "T")
    assert procfs.alive(process)
    procfs.send(process, signal.SIGKILL)
    until(lambda: procfs.state(process) == "Z")
    assert not procfs.alive(process)
    assert not procfs.send(process, signal.SIGKILL)
    assert procfs.identify(sleeper.pid) is None


def test_a_command_with_spaces_and_parentheses_in_its_name(tmp_path: Path) -> None:
    name = str(tmp_path / "a) R 1 (b")
    Path(name).symlink_to("/bin/sleep")
    process = subprocess.Popen([name, "60"])
    try:
        until(lambda: procfs.command(process.pid).startswith(name))
        entry = procfs.stat(process.pid)
        assert entry
        assert entry.parent == os.getpid()
        assert entry.state in ("R", "S")
    finally:
        process.kill()
        process.wait()


def test_memory_of_this_process_is_some_and_of_nobody_none() -> None:
    assert procfs.pss_mb([os.getpid()]) > 1
    assert procfs.pss_mb([2**22 + 1]) == 0


def test_the_environment_of_another() -> None:
    process = subprocess.Popen(["sleep", "60"], env={"MARK": "a=b", "PATH": os.environ["PATH"]})
    try:
        until(lambda: procfs.command(process.pid) == "sleep 60")
        assert procfs.environment(process.pid)["MARK"] == "a=b"
    finally:
        process.kill()
        process.wait()
