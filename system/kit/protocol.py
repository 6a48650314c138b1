"""HTTP/1.1 as every service speaks it: uvicorn's, but what is no request is refused as all else is, and counted."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from system.kit import problem, signals

BAD_REQUEST = 400
# What was read so far may end in the middle of another request: nothing more is taken from this connection.
HEAD = "HTTP/1.1 400 Bad Request\r\ncontent-type: {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n"


class Protocol(HttpToolsProtocol):
    def send_400_response(self, msg: str) -> None:
        signals.MALFORMED.inc()
        body = problem.body(BAD_REQUEST, msg)
        self.transport.write(HEAD.format(problem.MEDIA_TYPE, len(body)).encode() + body)
        self.transport.close()
