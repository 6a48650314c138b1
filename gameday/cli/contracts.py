"""`gameday contracts list|verify|deployed|can-deploy`."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import typer
from rich.table import Table

from gameday.cli._judged import catalogue, files_option, interruptible, show, wide_console

if TYPE_CHECKING:
    from gameday.catalogue import Catalogue
    from gameday.contracts import Covered, Ledger

app = typer.Typer(help="Verify what consumers wrote down in pacts.", no_args_is_help=True)


def register(parent: typer.Typer) -> None:
    parent.add_typer(app, name="contracts")


def _pacts_option() -> Path:
    option: Path = typer.Option(None, "--pacts", help="Directory of the pacts. Default: contracts/pacts.")
    return option


@app.command("list", epilog="Example: $ gameday contracts list --json")
def list_(
    file: list[Path] = files_option(),
    pacts: Path = _pacts_option(),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """List every edge that needs a contract, what was agreed and how it was last verified.

    Exit code 1 where an edge has none.
    """
    from gameday import contracts
    from gameday.contracts.versions import version
    from gameday.state import State

    system = catalogue(file)
    covered = contracts.coverage(system, contracts.read_all(pacts or contracts.directory(system)))
    ledger = contracts.Ledger(State.find(system.directory))
    now = {name: version(system, system.services[name]) for name in {each.edge.provider for each in covered}}
    rows = [_row(each, now[each.edge.provider], ledger) for each in covered]
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        table = Table("edge", "kind", "contract", "interactions", "states", "last verified")
        table.columns[0].no_wrap = True
        for row in rows:
            states = "\n".join(row["states"])
            count, verified = str(len(row["interactions"])), row["verified"]
            if row["pending"]:
                count += f", {len(row['pending'])} pending"
            last = f"{verified['verdict']} {verified['when']}" if verified else "never as it is now"
            table.add_row(row["edge"], row["kind"], row["file"] or "NONE", count, states, last if row["file"] else "")
        wide_console().print(table)
    if any(each.pact is None for each in covered):
        raise typer.Exit(1)


def _row(covered: Covered, version: str, ledger: Ledger) -> dict[str, Any]:
    """`verified` is None where this pact was never verified by its provider's present `version`."""
    pact = covered.pact
    last = ledger.verification(pact.name, pact.sha256, version) if pact else None
    interactions = pact.interactions if pact else ()
    return {
        "edge": covered.edge.name,
        "kind": covered.edge.kind.value,
        "file": pact.file.name if pact else None,
        "sha256": pact.sha256 if pact else None,
        "interactions": [interaction.description for interaction in interactions],
        "pending": [interaction.description for interaction in interactions if interaction.pending],
        "states": sorted({state for interaction in interactions for state in interaction.states}),
        "verified": {"verdict": last.verdict.value, "when": _when(last.wall)} if last else None,
    }


def _when(wall: float) -> str:
    return datetime.fromtimestamp(wall).astimezone().isoformat(timespec="seconds")


@app.command("verify", epilog="Example: $ gameday contracts verify --json")
def verify(
    file: list[Path] = files_option(),
    pacts: Path = _pacts_option(),
    at: str = typer.Option(
        None, "--at", metavar="PROVIDER=URL", help="Only this provider's, against what answers at the URL."
    ),
    header: list[str] = typer.Option(
        [], "--header", metavar="'NAME: VALUE'", help="With --at: goes with each request; $NAME is the environment's."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the verdicts as JSON."),
) -> None:
    """Verify every pact against an instance of its provider, on the stores of the system that runs here.

    With --at nothing is started and nothing has to run: the provider may be somebody else's.
    """
    from gameday import contracts, gate
    from gameday.control import Control
    from gameday.state import State

    system = catalogue(file)
    promised = contracts.read_all(pacts or contracts.directory(system))
    began, started = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
    if at:
        provider, url = _place(at, {pact.provider for pact in promised})
        results = list(contracts.verify_at(provider, url, _headers(header), promised))
        show(gate.conclude(results, began, started, 1.0), system.directory, as_json)
        return
    with interruptible(), Control.connect(State.find(system.directory).directory) as control:
        state, running = State.find(system.directory), control.call("endpoints")
        scale = float(control.call("status")["time_scale"])
        results = list(contracts.verified(system, state, running, promised))
    show(gate.conclude(results, began, started, scale), system.directory, as_json)


@app.command("can-deploy", epilog="Example: $ gameday contracts can-deploy user-svc --to staging")
def can_deploy(
    service: str = typer.Argument(help="A service of the compose file."),
    to: str = typer.Option(None, "--to", help="An environment. Default: against what the compose file holds now."),
    file: list[Path] = files_option(),
    pacts: Path = _pacts_option(),
    as_json: bool = typer.Option(False, "--json", help="Print the verdict as JSON."),
) -> None:
    """Say whether a service keeps, and is given, all that was agreed. 0: yes. 1: no. 3: it was not verified.

    Where PACT_BROKER_BASE_URL names a Pact Broker, that one is asked.
    """
    from gameday import contracts, gate
    from gameday.contracts.versions import version
    from gameday.state import State

    system = catalogue(file)
    _require(system, service)
    ledger = contracts.Ledger(State.find(system.directory))
    broker, results = contracts.Broker.of(os.environ), []
    if broker is None:
        _require_environment(ledger, to)
    began, started = time.monotonic(), gate.now()
    promised = contracts.read_all(pacts or contracts.directory(system))
    if broker:
        with broker:
            results = [broker.can_deploy(service, version(system, system.services[service]), to)]
        # Of gRPC it knows nothing: what was verified here counts.
        promised = [pact for pact in promised if pact.grpc and service in (pact.consumer, pact.provider)]
    if not broker or promised:
        results.append(contracts.can_deploy(system, ledger, promised, service, None if broker else to))
    show(gate.conclude(results, began, started, 1.0), system.directory, as_json)


@app.command("deployed", epilog="Example: $ gameday contracts deployed user-svc --to staging")
def deployed(
    service: str = typer.Argument(help="A service of the compose file."),
    to: str = typer.Option(..., "--to", help="The environment in which it stands from now on."),
    file: list[Path] = files_option(),
    pacts: Path = _pacts_option(),
) -> None:
    """Remember that a service, as the compose file holds it now, stands in an environment."""
    from gameday import contracts
    from gameday.state import State

    system = catalogue(file)
    _require(system, service)
    promised = contracts.read_all(pacts or contracts.directory(system))
    what = contracts.deployment(system, promised, service, to, time.time())
    if broker := contracts.Broker.of(os.environ):
        with broker:
            broker.deployed(service, what.version, to)
    contracts.Ledger(State.find(system.directory)).deployed(what)
    print(f"{service} {what.version} stands in {to}")


def _place(at: str, providers: set[str]) -> tuple[str, str]:
    """`stock=http://there` apart. Raises InputError."""
    from gameday.errors import InputError, Problem
    from gameday.yamlfile import suggestion

    provider, _, url = at.partition("=")
    if not url.startswith(("http://", "https://")):
        raise InputError(Problem(f"--at {at}", "write PROVIDER=URL, such as stock=https://stock.example", value=at))
    if provider not in providers:
        raise InputError(Problem(f"no pact is about {provider!r}", suggestion(provider, providers), value=provider))
    return provider, url.rstrip("/")


def _headers(given: list[str]) -> dict[str, str]:
    """`x-key: $KEY`, with what the environment says. Raises InputError."""
    from gameday.errors import InputError, Problem

    headers: dict[str, str] = {}
    problems: list[Problem] = []
    for each in given:
        name, colon, value = each.partition(":")
        try:
            headers[name.strip()] = Template(value.strip()).substitute(os.environ)
        except KeyError as error:
            problems.append(
                Problem(f"--header {each}: {error.args[0]} is not set", f"export {error.args[0]}=...", value=each)
            )
        except ValueError:
            colon = ""
        if not colon:
            problems.append(Problem(f"--header {each}", "write 'NAME: VALUE'; a dollar sign is $$", value=each))
    if problems:
        raise InputError(problems)
    return headers


def _require(system: Catalogue, service: str) -> None:
    """Raises InputError where there is no such service."""
    from gameday.errors import InputError, Problem
    from gameday.yamlfile import suggestion

    if service not in system.services:
        message = f"{system.files[0].name} has no service {service!r}"
        raise InputError(Problem(message, suggestion(service, system.services), value=service))


def _require_environment(ledger: Ledger, name: str | None) -> None:
    """Raises InputError where nothing was ever said to stand there: a misspelt name must not be an empty place."""
    from gameday.errors import InputError, Problem

    known = ledger.environments()
    if name is not None and name not in known:
        mend = f"known: {', '.join(known) or 'none'}; gameday contracts deployed SERVICE --to {name} makes one"
        raise InputError(Problem(f"nothing was said to stand in {name!r}", mend, value=name))
