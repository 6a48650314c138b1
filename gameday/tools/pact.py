"""Pact's verifier in a child process: it is native code that prints where it likes and calls home by default.

Run as a program it reads a `Verification` as JSON from standard input and leaves
the verifier's own results as JSON in the file that the first argument names.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gameday.errors import GamedayError, InputError, Problem

MODULE = "gameday.tools.pact"
# Its file and network libraries otherwise count every use with a server of theirs.
QUIET = {"PACT_DO_NOT_TRACK": "true"}


@dataclass(frozen=True)
class Verification:
    """One pact file against one running provider. `states` is the URL that takes provider states, `messages` the
    path where messages are made. `headers` go with every request, in the place of the pact's own of that name.
    """

    file: str
    provider: str
    url: str
    states: str | None
    messages: str | None
    request_timeout: float
    headers: Mapping[str, str] = field(default_factory=dict)


def verify(wanted: Verification, *, timeout: float) -> dict[str, Any]:
    """The verifier's results: `interactionResults` with `description`, `result` and `mismatch`.

    Raises GamedayError where it gave none within `timeout` seconds, InputError
    where it is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="gameday-pact-") as directory:
        results = Path(directory) / "results.json"
        try:
            ended = subprocess.run(
                [sys.executable, "-m", MODULE, str(results)],
                input=json.dumps(asdict(wanted)),
                env=os.environ | QUIET,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise GamedayError(f"the verification of {wanted.file} took more than {timeout:g} s") from None
        if ended.returncode == _NOT_INSTALLED:
            raise InputError(Problem("pact-python is not installed", mend="pip install 'gameday[contracts]'"))
        try:
            found: dict[str, Any] = json.loads(results.read_bytes())
        except (OSError, ValueError):
            last = "\n".join((ended.stdout + ended.stderr).strip().splitlines()[-5:])
            raise GamedayError(f"the verifier of {wanted.file} left no results ({ended.returncode}): {last}") from None
        return found


_NOT_INSTALLED = 69


def main(results: Path) -> int:
    try:
        from pact import Verifier
    except ImportError:
        return _NOT_INSTALLED
    wanted = Verification(**json.load(sys.stdin))
    where = urlsplit(wanted.url)
    verifier = Verifier(wanted.provider, host=where.hostname)
    verifier.add_transport(url=wanted.url).add_source(wanted.file)
    if wanted.headers:
        verifier.add_custom_headers(dict(wanted.headers))
    if wanted.messages:
        verifier.add_transport(protocol="message", port=where.port, path=wanted.messages)
    verifier.set_request_timeout(int(wanted.request_timeout * 1000)).set_error_on_empty_pact(enabled=True)
    verifier.set_coloured_output(enabled=False)
    if wanted.states:
        verifier.state_handler(wanted.states, body=True, teardown=True)
    try:
        verifier.verify()
    except RuntimeError as error:
        # Also raised for interactions that did not match: what counts are the results, where there are any.
        print(error, file=sys.stderr)
    results.write_text(json.dumps(verifier.results))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
