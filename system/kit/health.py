"""The health check of an image: `python -m system.kit.health` exits 0 when the service on $PORT is ready.

Standard library only, since it is started every few seconds.
"""

from __future__ import annotations

import http.client
import os
import sys


def ready(port: int, timeout: float = 1.5) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError as error:
        print(f"127.0.0.1:{port}: {error}", file=sys.stderr)
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if ready(int(os.environ["PORT"])) else 1)
