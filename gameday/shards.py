"""A gate in parts that run side by side: which one runs what, and that all of them were parts of the same gate."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from gameday import changes, contracts, experiment, load
from gameday.catalogue import Catalogue
from gameday.errors import InputError, Problem
from gameday.verdict import Part

Thing = TypeVar("Thing")


@dataclass(frozen=True)
class Shard:
    """`index` counts from 1 to `of`."""

    index: int
    of: int

    @classmethod
    def read(cls, text: str) -> Shard:
        """`2/4` is the second of four. Raises InputError."""
        found = re.fullmatch(r"(\d+)/(\d+)", text)
        shard = cls(int(found[1]), int(found[2])) if found else cls(0, 0)
        if not 1 <= shard.index <= shard.of:
            mend = "write it as 2/4, the second of four"
            raise InputError(Problem("no part of a gate", mend, key="--shard", value=text))
        return shard

    def part(self, things: Sequence[Thing]) -> list[Thing]:
        """Its own of `things`: those of all shards in a row are `things`; none has two more than another."""
        return list(things[len(things) * (self.index - 1) // self.of : len(things) * self.index // self.of])

    def __str__(self) -> str:
        return f"{self.index}/{self.of}"


def described(
    shard: Shard,
    catalogue: Catalogue,
    planned: Mapping[str, Sequence[str]],
    together: Sequence[str],
    left_out: Sequence[str],
) -> Part:
    """As `verdict.json` holds it."""
    return Part(
        index=shard.index,
        of=shard.of,
        commit=changes.commit(catalogue.directory),
        catalogue=digest(catalogue),
        planned={suite: tuple(names) for suite, names in planned.items()},
        together=tuple(together),
        left_out=tuple(left_out),
    )


def digest(catalogue: Catalogue) -> str:
    """Of all that a gate reads of a project: SHA-256 over names and contents, wherever the project lies."""
    found = hashlib.sha256()
    for path in sorted({*catalogue.files, *_read(catalogue)}):
        name = path.relative_to(catalogue.directory) if path.is_relative_to(catalogue.directory) else path.name
        content = path.read_bytes()
        found.update(f"{name}\0{len(content)}\0".encode() + content)
    return found.hexdigest()


def _read(catalogue: Catalogue) -> list[Path]:
    slos = [catalogue.telemetry.slos] if catalogue.telemetry.slos else []
    directories = (experiment.DIRECTORY, load.DIRECTORY, contracts.directory(catalogue))
    found = [path for each in directories for path in (catalogue.directory / each).rglob("*") if path.is_file()]
    return [path for path in (*found, *slos) if "__pycache__" not in path.parts]
