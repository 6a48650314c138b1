"""Answers of an edge have another body: one that is cut short, no JSON, or of the wrong shape."""

from __future__ import annotations

from gameday.faults.http import HttpArguments, HttpFault


class HttpGarbageArguments(HttpArguments):
    """`body` takes the place of the provider's."""

    body: str = "{"


class HttpGarbage(HttpFault):
    name = "http-garbage"
    takes = HttpGarbageArguments
