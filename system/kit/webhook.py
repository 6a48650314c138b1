"""Signed callbacks, by Standard Webhooks: https://github.com/standard-webhooks/standard-webhooks

The signature covers the delivery's id, the time of its sending and its body, so that none of them can be changed, and
what was sent once cannot be sent again later. The id stays the same through all attempts: by it the receiver knows
what it has already.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
PREFIX, VERSION = "whsec_", "v1"
# The specification's bounds of a secret, in bytes, and its usual tolerance.
FEWEST, MOST = 24, 64
TOLERANCE_SECONDS = 300.0

Reason = Literal["missing", "malformed", "old", "early", "wrong"]


class SignatureError(Exception):
    """Why a callback is not to be believed."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Secrets:
    """The first signs; any of them verifies, so that a secret can be changed without losing a callback."""

    keys: Sequence[bytes]

    @classmethod
    def read(cls, text: str) -> Self:
        """`whsec_...` in base64, several with spaces between them. Raises ValueError, in which no secret stands."""
        keys = [_key(number, secret) for number, secret in enumerate(text.split(), 1)]
        if not keys:
            raise ValueError("holds no secret; write whsec_ and base64 of at least 24 random bytes")
        return cls(keys)

    def sign(self, id_: str, timestamp: int, body: bytes) -> dict[str, str]:
        """The headers of a delivery; `timestamp` in seconds of the epoch."""
        signature = _signature(self.keys[0], id_, str(timestamp), body)
        return {ID: id_, TIMESTAMP: str(timestamp), SIGNATURE: f"{VERSION},{signature}"}

    def verify(self, headers: Mapping[str, str], body: bytes, now: float) -> str:
        """The delivery's id. `headers` by lower-case names. Raises SignatureError."""
        id_, timestamp, signatures = (headers.get(name, "") for name in (ID, TIMESTAMP, SIGNATURE))
        if not (id_ and timestamp and signatures):
            raise SignatureError("missing")
        if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= len("9999999999")):
            raise SignatureError("malformed")
        # The signature comes first: whoever cannot sign is told nothing about clocks.
        if not self._signed(id_, timestamp, signatures, body):
            raise SignatureError("wrong")
        age = now - int(timestamp)
        if abs(age) > TOLERANCE_SECONDS:
            raise SignatureError("old" if age > 0 else "early")
        return id_

    def _signed(self, id_: str, timestamp: str, signatures: str, body: bytes) -> bool:
        given = [each.partition(",") for each in signatures.split(" ")]
        sent = [signature.encode("latin-1", "replace") for version, _, signature in given if version == VERSION]
        expected = [_signature(key, id_, timestamp, body).encode() for key in self.keys]
        return any(hmac.compare_digest(one, other) for one in sent for other in expected)


def _signature(key: bytes, id_: str, timestamp: str, body: bytes) -> str:
    signed = f"{id_}.{timestamp}.".encode("latin-1", "replace") + body
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def _key(number: int, secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise ValueError(f"secret {number} is no base64; write whsec_ and base64") from None
    if not secret.startswith(PREFIX) or not FEWEST <= len(key) <= MOST:
        raise ValueError(f"secret {number} is not whsec_ and base64 of {FEWEST} to {MOST} bytes")
    return key
