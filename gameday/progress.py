"""What a long command says while it works: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.status import Status


class Progress:
    """`step` replaces the line of what is under way, `say` leaves a line behind."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._began = time.monotonic()
        self._status: Status | None = None
        self._last = ""

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._status = self._console.status("")
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status:
            self._status.stop()
            self._status = None

    def step(self, text: str) -> None:
        if self._status:
            self._status.update(f"{self._clock()} {text}")
        elif text != self._last:
            self.say(text)
        self._last = text

    def say(self, text: str) -> None:
        self._console.print(f"{self._clock()} {text}", markup=False, soft_wrap=True)

    def _clock(self) -> str:
        return f"{time.monotonic() - self._began:5.1f}s"
