"""Trained models on disk: one directory a version, and a file that names the current one.

- `current`: the version that serves
- `ease-1a2b3c4d/model.onnx`: the graph
- `ease-1a2b3c4d/items.json`: ids, titles and popularity, in the order of the graph's columns
- `ease-1a2b3c4d/histories.npz`: what each known user had bought when the model was trained
- `ease-1a2b3c4d/manifest.json`: version, sha256 of each file, metrics, lineage
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CURRENT = "current"
MANIFEST = "manifest.json"
# What the files of a version hold. One of another form is no model to this service.
FORM = 2


class CorruptModel(Exception):
    """The files of a model are not what was saved. The message names the file and the mend."""


class NoModel(Exception):
    """The registry holds no current model that this service could read."""


@dataclass(frozen=True)
class Entry:
    """One version. The content of its files was compared with the hashes in `manifest`."""

    version: str
    directory: Path
    manifest: Mapping[str, Any]

    def read(self, name: str) -> bytes:
        """The content of a file of the version. Raises CorruptModel where it is not what was saved."""
        path = self.directory / name
        try:
            content = path.read_bytes()
        except OSError as error:
            raise CorruptModel(f"{path}: {error.strerror}; {_MEND}") from error
        if hashlib.sha256(content).hexdigest() != self.manifest["sha256"].get(name):
            raise CorruptModel(f"{path}: its sha256 is not the one in {MANIFEST}; {_MEND}")
        return content


_MEND = "train again with `python -m system.recommendation.train`"


def save(
    registry: Path, version: str, files: Mapping[str, bytes], *, metrics: Mapping[str, Any], lineage: Mapping[str, Any]
) -> Path:
    """Writes a version whole or not at all, replacing one of the same name, and makes it current."""
    registry.mkdir(parents=True, exist_ok=True)
    manifest = {
        "version": version,
        "form": FORM,
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        "metrics": metrics,
        "lineage": lineage,
    }
    draft = Path(tempfile.mkdtemp(prefix=f".{version}-", dir=registry))
    draft.chmod(0o755)
    for name, content in {**files, MANIFEST: json.dumps(manifest, indent=2).encode()}.items():
        (draft / name).write_bytes(content)
    target = registry / version
    _replace(draft, target)
    _point(registry, version)
    return target


def current(registry: Path) -> str:
    try:
        return (registry / CURRENT).read_text().strip()
    except FileNotFoundError:
        raise NoModel(f"{registry} holds no model; {_MEND}") from None


def entry(registry: Path, version: str | None = None) -> Entry:
    """A version (None: the current one). Raises NoModel, CorruptModel."""
    version = version or current(registry)
    directory = registry / version
    try:
        manifest = json.loads((directory / MANIFEST).read_bytes())
    except FileNotFoundError:
        raise NoModel(f"{directory} holds no {MANIFEST}; {_MEND}") from None
    except ValueError as error:
        raise CorruptModel(f"{directory / MANIFEST}: {error}; {_MEND}") from error
    if manifest.get("form") != FORM:
        raise NoModel(f"{directory} is of another form than this service reads; {_MEND}")
    return Entry(version, directory, manifest)


def _replace(draft: Path, target: Path) -> None:
    """Two replicas may train the same version at their first start: what is whole is never taken away."""
    if _whole(target):
        shutil.rmtree(draft)
        return
    shutil.rmtree(target, ignore_errors=True)
    try:
        draft.rename(target)
    except OSError:
        shutil.rmtree(draft)
        if not _whole(target):
            raise


def _whole(directory: Path) -> bool:
    try:
        found = entry(directory.parent, directory.name)
        return all(found.read(name) for name in found.manifest["sha256"])
    except (NoModel, CorruptModel):
        return False


def _point(registry: Path, version: str) -> None:
    handle, name = tempfile.mkstemp(prefix=".current-", dir=registry)
    with os.fdopen(handle, "w") as file:
        file.write(version + "\n")
    Path(name).chmod(0o644)
    Path(name).replace(registry / CURRENT)
