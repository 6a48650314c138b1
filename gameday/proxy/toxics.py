"""The toxics by name. Names and attributes are Toxiproxy's; `down` is its disabled proxy. It has none of HTTP."""

from __future__ import annotations

from collections.abc import Mapping

from gameday.proxy.answers import HttpDelay, HttpGarbage, HttpStatus
from gameday.proxy.cuts import Down, LimitData, ResetPeer, Timeout
from gameday.proxy.delays import Bandwidth, Latency, Slicer, SlowClose
from gameday.proxy.stage import Stage

STAGES: Mapping[str, type[Stage]] = {
    "latency": Latency,
    "bandwidth": Bandwidth,
    "slicer": Slicer,
    "slow_close": SlowClose,
    "timeout": Timeout,
    "reset_peer": ResetPeer,
    "limit_data": LimitData,
    "down": Down,
    "http-status": HttpStatus,
    "http-delay": HttpDelay,
    "http-garbage": HttpGarbage,
}
