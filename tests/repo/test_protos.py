"""The generated messages are those of the .proto files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from commands import ROOT


@pytest.mark.parametrize("proto", sorted((ROOT / "system").rglob("*.proto")), ids=lambda proto: proto.name)
def test_generated_messages_are_up_to_date(proto: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I", proto.parent, f"--python_out={tmp_path}"]
    subprocess.run([*command, f"--pyi_out={tmp_path}", proto.name], check=True)
    for made in tmp_path.iterdir():
        committed = proto.parent / "_gen" / made.name
        assert committed.read_text() == made.read_text(), "run script/protos"
