"""A language model over Anthropic's Messages API, or whatever speaks it: how it is reached, and how it fails."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import anthropic
import httpx2

from system.kit.signals import FallbackReason

BAD_REQUEST, REQUEST_TIMEOUT, CONFLICT, TOO_MANY, SERVER_ERROR = 400, 408, 409, 429, 500
# What comes of answers that are no JSON, or no message, and of events in the wrong order.
NONSENSE = (AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
PASSING = {"overloaded_error", "rate_limit_error", "api_error", "timeout_error"}


@dataclass(frozen=True)
class Usage:
    input_tokens: int = 0
    output_tokens: int = 0


class ProviderError(Exception):
    """The model gave no answer, or not all of it.

    `passing` says that another attempt may succeed; `retry_after` in seconds
    where the provider said when. `alive` says that it is there, and only does
    not want this request.
    """

    def __init__(
        self,
        reason: FallbackReason,
        detail: str,
        *,
        passing: bool = True,
        alive: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.passing = passing
        self.alive = alive
        self.retry_after = retry_after


def connected(api_key: str, base_url: str) -> anthropic.AsyncAnthropic:
    """One attempt a call: whether to try again depends on the caller's deadline, which the SDK does not know.

    Spans by GenAI conventions and the trace context on each request come with the SDK.
    """
    return anthropic.AsyncAnthropic(
        api_key=api_key, base_url=base_url, max_retries=0, open_telemetry={"traces": True, "propagation": True}
    )


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Every way in which the SDK says that there is no answer, as a ProviderError."""
    try:
        yield
    except anthropic.APITimeoutError as error:
        raise ProviderError("timeout", str(error)) from error
    except anthropic.APIStatusError as error:
        raise _by_status(error) from error
    except (anthropic.APIConnectionError, httpx2.HTTPError) as error:
        raise ProviderError("connection", repr(error)) from error
    except (anthropic.APIError, *NONSENSE) as error:
        raise ProviderError("schema", repr(error)) from error


def _by_status(error: anthropic.APIStatusError) -> ProviderError:
    """An `error` event within a stream has the stream's status, 200: its type tells."""
    again = error.status_code in (REQUEST_TIMEOUT, CONFLICT, TOO_MANY) or error.status_code >= SERVER_ERROR
    passing = again or str(error.type) in PASSING
    alive = BAD_REQUEST <= error.status_code < SERVER_ERROR
    detail = f"{error.status_code} {error.type}"
    return ProviderError("status", detail, passing=passing, alive=alive, retry_after=_wait(error))


def _wait(error: anthropic.APIStatusError) -> float | None:
    try:
        return max(0.0, float(error.response.headers["retry-after"]))
    except (KeyError, ValueError):
        return None
