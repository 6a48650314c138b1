"""The repository tests itself: what no single module can promise."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def committed(*patterns: str) -> list[Path]:
    out = subprocess.run(["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in out.stdout.split("\0") if name and (ROOT / name).is_file()]


def text(path: Path) -> str:
    return path.read_text(errors="replace")


def test_lock_pins_every_package_by_hash_and_names_no_address() -> None:
    for name in ("cpu", "gpu"):
        lock = text(ROOT / "requirements" / f"{name}.txt")
        assert "://" not in lock
        pins = re.split(r"\n(?=\S)", lock.strip())
        assert len(pins) > 50
        assert [pin for pin in pins if "==" not in pin or "--hash=sha256:" not in pin] == []
