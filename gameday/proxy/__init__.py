"""The edge proxy: one child process through which every wired edge runs.

`ProxyHost` is the parent's side. `python -m gameday.proxy` is the child: it takes
JSON lines on stdin, answers on stdout, keeps the deadlines of its toxics itself
and ends when stdin ends, so it outlives neither its parent nor a fault.
"""

from gameday.proxy.host import ProxyHost

__all__ = ["ProxyHost"]
