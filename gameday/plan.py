"""What a supervisor is to run, whole: it reads no compose file itself."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gameday.catalogue import Catalogue
from gameday.runtime.order import closure


@dataclass(frozen=True)
class Plan:
    """`services` None means all of the catalogue; `scale` are the replicas that were asked for beside the files.

    `stubs`: services whose providers are stubs in the catalogue.
    """

    catalogue: Catalogue
    profiles: tuple[str, ...]
    services: tuple[str, ...] | None
    wired: bool
    time_scale: float
    scale: Mapping[str, int] = field(default_factory=dict)
    stubs: tuple[str, ...] = ()

    def describe(self) -> dict[str, Any]:
        return {
            "files": [str(file) for file in self.catalogue.files],
            "profiles": list(self.profiles),
            "services": list(closure(self.catalogue, self.services)),
            "wired": self.wired,
            "time_scale": self.time_scale,
            "scale": dict(self.scale),
            "stubs": list(self.stubs),
            "catalogue": hashlib.sha256(repr(self.catalogue).encode()).hexdigest(),
        }
