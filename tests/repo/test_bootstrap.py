"""script/bootstrap on machines of our own making: its PATH holds stubs that write down how they were called."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gameday.runtime.images import rabbitmq, registry

ROOT = Path(__file__).parents[2]
TOOLS = ("bash", "cat", "chmod", "dirname", "grep", "head", "rm", "sha256sum")
NOBODY = 65534


class Machine:
    """A checkout that holds the script alone, and a PATH of tools and stubs."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.policy = directory / "policy-rc.d"
        self.calls = directory / "calls"
        self.bin = directory / "bin"
        for folder in (self.bin, directory / "script", directory / "requirements"):
            folder.mkdir()
        shutil.copy(ROOT / "script/bootstrap", directory / "script/bootstrap")
        shutil.copy(ROOT / "pyproject.toml", directory)
        shutil.copy(ROOT / "requirements/cpu.txt", directory / "requirements")
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found, tool
            (self.bin / tool).symlink_to(found)
        self.stub("python3", "exit 0")

    def stub(self, name: str, body: str) -> None:
        path = self.bin / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >> {self.calls}\n{body}\n')
        path.chmod(0o755)

    def run(self, *arguments: str, user: int | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.bin / "bash", "script/bootstrap", *arguments],
            cwd=self.directory,
            env={"PATH": str(self.bin), "GAMEDAY_POLICY_RC_D": str(self.policy)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=20,
            user=user,
        )

    def called(self) -> list[str]:
        return self.calls.read_text().splitlines() if self.calls.exists() else []


@pytest.fixture
def machine() -> Iterator[Machine]:
    with tempfile.TemporaryDirectory(prefix="gameday-bootstrap-") as name:
        directory = Path(name)
        directory.chmod(0o777)
        yield Machine(directory)


def test_without_root_and_without_a_terminal_it_says_exactly_what_to_install(machine: Machine) -> None:
    machine.stub("apt-get", "exit 1")
    ran = machine.run(user=NOBODY if os.geteuid() == 0 else None)
    assert ran.returncode == 2
    assert "sudo apt-get install --no-install-recommends" in ran.stderr
    assert "prometheus prometheus-alertmanager prometheus-blackbox-exporter" in ran.stderr
    assert not [call for call in machine.called() if call.startswith("apt-get")]
    assert not (machine.directory / ".venv").exists()


def test_where_there_is_no_apt_it_names_the_packages(machine: Machine) -> None:
    ran = machine.run()
    assert ran.returncode == 2
    assert "prometheus-alertmanager" in ran.stderr


def test_without_a_python_it_asks_for_one(machine: Machine) -> None:
    machine.stub("python3", "exit 1")
    ran = machine.run()
    assert ran.returncode == 2
    assert "python3 python3-venv" in ran.stderr


def test_packaged_services_are_kept_from_starting_while_packages_install(machine: Machine) -> None:
    machine.stub("apt-cache", "exit 0")
    machine.stub("systemctl", "exit 0")
    machine.stub("apt-get", f'{machine.policy} prometheus start; echo "policy says $?" >> {machine.calls}')
    ran = machine.run("--install-packages", "prometheus")
    assert ran.returncode == 0, ran.stderr
    assert "policy says 101" in machine.called()
    assert "systemctl disable prometheus" in machine.called()
    assert not machine.policy.exists()
    assert not [call for call in machine.called() if "update" in call]


def test_package_lists_are_fetched_only_where_they_lack_a_package(machine: Machine) -> None:
    machine.stub("apt-cache", "exit 100")
    machine.stub("apt-get", "exit 0")
    assert machine.run("--install-packages", "prometheus").returncode == 0
    verbs = [word for call in machine.called() for word in call.split() if word in ("update", "install")]
    assert verbs == ["update", "install"]


def test_a_failed_install_leaves_no_policy_behind(machine: Machine) -> None:
    machine.stub("apt-cache", "exit 0")
    machine.stub("apt-get", "exit 100")
    assert machine.run("--install-packages", "prometheus").returncode != 0
    assert not machine.policy.exists()


def test_a_policy_of_the_machine_is_kept_and_one_that_starts_services_is_refused(machine: Machine) -> None:
    machine.stub("apt-cache", "exit 0")
    machine.stub("apt-get", "exit 0")
    for answer, code in ((101, 0), (0, 2)):
        machine.policy.write_text(f"#!/bin/sh\nexit {answer}\n")
        machine.policy.chmod(0o755)
        before = machine.policy.read_text()
        assert machine.run("--install-packages", "prometheus").returncode == code
        assert machine.policy.read_text() == before


def test_it_is_a_silent_no_op_where_all_is_there() -> None:
    """Two seconds for a busy machine; 0.01 s on an idle one."""
    ran = subprocess.run([ROOT / "script/bootstrap"], capture_output=True, text=True, timeout=2)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_it_installs_what_the_local_servers_say_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(rabbitmq, "_SERVER", Path("/nowhere"))
    mends = [server.missing() or "" for server in registry.SERVERS.values()]
    wanted = {mend.split()[2] for mend in mends if mend.startswith("apt-get install ")}
    listed = re.search(r"^SERVERS=\((.*?)^\)", (ROOT / "script/bootstrap").read_text(), re.MULTILINE | re.DOTALL)
    assert listed
    assert {line.split()[0] for line in re.findall(r'"(.+)"', listed[1])} == wanted - {
        "util-linux"
    }  # which every Debian has
