"""The wheel: only gameday, and it works without this repository around it."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*command: str | Path, cwd: Path) -> str:
    ran = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT, cwd=out)
    (built,) = out.glob("*.whl")
    return built


def test_it_holds_gameday_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"gameday"}
    assert "gameday/py.typed" in names
    committed = subprocess.run(["git", "ls-files", "gameday"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(committed.stdout.split()) <= set(names)


def test_it_installs_alone_and_its_program_runs(wheel: Path, tmp_path: Path) -> None:
    """In a new environment that sees the libraries of this one, but neither this checkout nor `system`."""
    fresh = tmp_path / "fresh"
    venv.create(fresh, with_pip=False)
    python = fresh / "bin/python"
    run(
        sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", wheel, cwd=tmp_path
    )
    (packages,) = fresh.glob("lib/python*/site-packages")
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    assert "Usage: gameday" in run(fresh / "bin/gameday", "--help", cwd=tmp_path)
    where = run(python, "-c", "import gameday; print(gameday.__file__)", cwd=tmp_path).strip()
    assert Path(where).is_relative_to(fresh)
    missing = subprocess.run([python, "-c", "import system"], cwd=tmp_path, capture_output=True, text=True)
    assert "No module named 'system'" in missing.stderr
