"""Answers of an edge come late, and then as fast as ever."""

from __future__ import annotations

from pydantic import Field

from gameday.faults.http import HttpArguments, HttpFault


class HttpDelayArguments(HttpArguments):
    """Each answer waits `delay` ms."""

    delay: float = Field(gt=0, le=3_600_000)


class HttpDelay(HttpFault):
    name = "http-delay"
    takes = HttpDelayArguments
