"""Providers start first, and only what is wanted."""

from __future__ import annotations

from pathlib import Path

import pytest

from gameday.catalogue import Catalogue, compose
from gameday.runtime.order import closure


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    (tmp_path / "c.yml").write_text(
        "services: {a: {image: x, depends_on: [b, c]}, b: {image: x, depends_on: [c]}, c: {image: x}, d: {image: x}}"
    )
    return compose.load([tmp_path / "c.yml"], environment={})


def test_everything_a_service_depends_on_comes_before_it(catalogue: Catalogue) -> None:
    assert closure(catalogue, ["a"]) == ("c", "b", "a")
    assert closure(catalogue, ["d"]) == ("d",)
    assert set(closure(catalogue)) == {"a", "b", "c", "d"}


def test_an_unknown_name(catalogue: Catalogue) -> None:
    with pytest.raises(KeyError):
        closure(catalogue, ["x"])
