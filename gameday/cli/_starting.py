"""Shows a system while it starts: a live table on a terminal, a line for each change elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.live import Live

from gameday.cli._services import table


class Starting:
    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._live: Live | None = None
        self._began = time.monotonic()
        self._states: dict[str, str] = {}

    def __enter__(self) -> Starting:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pause()

    def pause(self) -> None:
        """Leaves the terminal to whoever wants to print or ask."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def show(self, status: Mapping[str, Any]) -> None:
        if not self._console.is_terminal:
            self._lines(status)
            return
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        self._live.update(table(status["services"]), refresh=True)

    def _lines(self, status: Mapping[str, Any]) -> None:
        for service in status["services"]:
            name, state = service["name"], service["state"]
            if self._states.get(name) != state and state != "pending":
                self._states[name] = state
                after = f"{time.monotonic() - self._began:5.1f}s"
                self._console.print(f"{after} {name} {state}", markup=False, soft_wrap=True)
