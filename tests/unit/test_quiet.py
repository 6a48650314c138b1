"""No fault is injected while an alert fires; what was not started may be why it does."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from gameday.bench import Bench
from gameday.errors import GamedayError


def bench(state: str, *started: str) -> Bench:
    rules = [{"name": "SpansLost", "state": state}]
    given: Any = SimpleNamespace(
        control=None,
        catalogue=SimpleNamespace(services={"web": None, "jaeger": None}),
        status={"services": [{"service": name} for name in started]},
        endpoints={},
        prometheus=SimpleNamespace(rules=lambda: rules),
    )
    return Bench(**vars(given))


@pytest.mark.parametrize(("started", "why"), [(("web",), "was not started: jaeger"), (("web", "jaeger"), None)])
def test_an_alert_that_fires_keeps_a_fault_out_and_names_what_was_not_started(
    started: tuple[str, ...], why: str | None
) -> None:
    with pytest.raises(GamedayError, match="before the fault: SpansLost") as told:
        bench("firing", *started).require_quiet([], 0.0)
    assert ("started" in str(told.value), why is None or why in str(told.value)) == (why is not None, True)


def test_an_alert_that_is_silent_lets_it_in() -> None:
    bench("inactive", "web").require_quiet(["SpansLost"], 0.0)
    with pytest.raises(GamedayError, match="SpansLost"):
        bench("pending", "web").require_quiet(["SpansLost"], 0.0)
