"""Requests of an edge are answered with an error; the provider is not asked."""

from __future__ import annotations

from pydantic import Field

from gameday.faults.http import HttpArguments, HttpFault


class HttpStatusArguments(HttpArguments):
    """The answer has the status `status`."""

    status: int = Field(default=503, ge=400, le=599)


class HttpStatus(HttpFault):
    name = "http-status"
    takes = HttpStatusArguments
