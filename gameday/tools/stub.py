"""A provider as its pacts promise it, on loopback: `python -m gameday.tools.stub FILE... --port N`.

Pact's stub command listens on every address of the machine, its mock server where it is told to; that one takes no
files, so each interaction is told to it. A pact's request is an example: what of it no rule covers counts by its type
where the answer is a success, and as it is where the answer refuses. What matches nothing is answered with 500.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

MODULE = "gameday.tools.stub"
CLIENT_ERROR = 400
ANYTHING = {"match": "regex", "regex": ".+"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--port", action="append", type=int, required=True)
    wanted = parser.parse_args()
    os.environ["PACT_DO_NOT_TRACK"] = "true"
    try:
        from pact import Pact
    except ImportError:
        raise SystemExit("pact-python is not installed; mend: pip install 'gameday[contracts]'") from None
    promised = Pact("consumer", "provider").with_specification("V4")
    for interaction in _asked_for(wanted.files):
        promise(promised, interaction)
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    with ExitStack() as serving:
        for port in wanted.port:
            # Nobody has to ask for all that was promised.
            serving.enter_context(promised.serve("127.0.0.1", port, raises=False))
        signal.sigwait(ends)


def _asked_for(files: list[Path]) -> Iterator[dict[str, Any]]:
    for file in files:
        raw = json.loads(file.read_bytes())
        for interaction in raw["interactions"]:
            if "request" in interaction:
                who = f"{interaction['description']}, asks {raw['consumer']['name']}"
                yield interaction | {"description": who}


def promise(pact: Any, interaction: dict[str, Any]) -> None:
    """Tells a `pact.Pact` what a file of Pact's version 4 says under `interactions`."""
    asked, answered = interaction["request"], interaction["response"]
    if answered["status"] < CLIENT_ERROR:
        asked = _by_type(asked, dict(_given(interaction)))
    made = pact.upon_receiving(_title(interaction)).with_request(asked["method"], asked["path"])
    for name, values in asked.get("query", {}).items():
        for value in values:
            made.with_query_parameter(name, value)
    _part(made, asked, "Request")
    made.will_respond_with(answered["status"])
    _part(made, answered, "Response")


def _by_type(asked: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """`asked` with a rule for whatever has none. What a state was `given` may be anything where the path has it."""
    rules = {where: dict(each) for where, each in asked.get("matchingRules", {}).items()}
    if "path" not in rules:
        own = {str(value) for value in given.values()}
        parts = ["[^/]+" if part in own else re.escape(part) for part in asked["path"].split("/")]
        rules["path"] = _rule({"match": "regex", "regex": f"^{'/'.join(parts)}$"})
    if "body" in asked:
        rules["body"] = {"$": _rule({"match": "type"}), **rules.get("body", {})}
    headers = {name: _rule(ANYTHING) for name in asked.get("headers", {}) if name.lower() != "content-type"}
    rules["header"] = headers | rules.get("header", {})
    rules["query"] = {name: _rule(ANYTHING) for name in asked.get("query", {})} | rules.get("query", {})
    return asked | {"matchingRules": {where: each for where, each in rules.items() if each}}


def _rule(matcher: dict[str, str]) -> dict[str, Any]:
    return {"combine": "AND", "matchers": [matcher]}


def _given(interaction: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for state in interaction.get("providerStates", ()):
        yield from state.get("params", {}).items()


def _part(made: Any, part: dict[str, Any], which: Literal["Request", "Response"]) -> None:
    for name, values in part.get("headers", {}).items():
        for value in values if isinstance(values, list) else [values]:
            made.with_header(name, value, part=which)
    if body := part.get("body"):
        content = body["content"]
        made.with_body(
            content if isinstance(content, str) else json.dumps(content), body.get("contentType"), part=which
        )
    if rules := part.get("matchingRules"):
        made.with_matching_rules(rules, part=which)
    if generators := part.get("generators"):
        made.with_generators(generators, part=which)


def _title(interaction: dict[str, Any]) -> str:
    """Two interactions may differ by their states alone."""
    states = [state["name"] for state in interaction.get("providerStates", ())]
    return str(interaction["description"]) + (f", given {' and '.join(states)}" if states else "")


if __name__ == "__main__":
    main()
