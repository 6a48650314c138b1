from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """A test that sets up a service's logs takes them along: they go to its own captured output."""
    yield
    structlog.reset_defaults()
