"""`python -m gameday.proxy`: the child."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable

from gameday.proxy.server import serve


def main() -> None:
    # Two descriptors a connection: the usual soft limit of 1024 is 500 connections.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(serve())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        from uvloop import new_event_loop
    except ImportError:
        return asyncio.new_event_loop
    return new_event_loop


if __name__ == "__main__":
    main()
