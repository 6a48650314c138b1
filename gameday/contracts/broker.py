"""A Pact Broker, where the environment names one: pacts and results go there, and it says what may be deployed.

`PACT_BROKER_BASE_URL`, with `PACT_BROKER_TOKEN` or `PACT_BROKER_USERNAME` and `PACT_BROKER_PASSWORD`: the names that
Pact's own tools read. Its API is HAL (https://docs.pact.io/pact_broker/api): where things are, its answers tell.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from gameday import __version__
from gameday.catalogue import Catalogue
from gameday.contracts.pacts import Pact
from gameday.contracts.versions import version
from gameday.errors import GamedayError, InputError, Problem
from gameday.verdict import Finding, Result, Verdict

URL, TOKEN, USERNAME, PASSWORD = (f"PACT_BROKER_{name}" for name in ("BASE_URL", "TOKEN", "USERNAME", "PASSWORD"))
BRANCH = "GIT_BRANCH"
TIMEOUT_SECONDS = 15.0
CHECK = "pact-broker"
REFUSED = frozenset({httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN})


class Broker:
    """Every method raises GamedayError where the broker does not answer, InputError where it does not let us in."""

    def __init__(self, url: str, environment: Mapping[str, str]) -> None:
        headers = {"accept": "application/hal+json, application/json"}
        if token := environment.get(TOKEN):
            headers["authorization"] = f"Bearer {token}"
        user = environment.get(USERNAME)
        auth = (user, environment.get(PASSWORD, "")) if user else None
        self.url = url.rstrip("/")
        self._branch = environment.get(BRANCH)
        self._client = httpx.Client(headers=headers, auth=auth, timeout=TIMEOUT_SECONDS, trust_env=False)

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self | None:
        """The one that the environment names."""
        url = environment.get(URL)
        if not url:
            return None
        if not url.startswith(("http://", "https://")):
            raise InputError(Problem(f"{URL} is no address", mend="use http://host:port or https://host", value=url))
        return cls(url, environment)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._client.close()

    def publish(self, consumer: str, number: str, pacts: Sequence[Pact]) -> None:
        """What `consumer` in this version relies on."""
        contracts = [
            {
                "consumerName": pact.consumer,
                "providerName": pact.provider,
                "specification": "pact",
                "contentType": "application/json",
                "content": base64.b64encode(pact.file.read_bytes()).decode(),
            }
            for pact in pacts
        ]
        told = {"pacticipantName": consumer, "pacticipantVersionNumber": number, "contracts": contracts}
        self._ask("POST", self._link("pb:publish-contracts"), told | ({"branch": self._branch} if self._branch else {}))

    def verified(self, pact: Pact, consumer: str, provider: str, *, success: bool) -> None:
        """That `provider`, a version, was held to what the version `consumer` relies on, and whether it keeps it."""
        where = f"{self.url}/pacts/provider/{_name(pact.provider)}/consumer/{_name(pact.consumer)}/version/{consumer}"
        published = self._ask("GET", where)
        tool = {"implementation": "gameday", "version": __version__}
        told = {"success": success, "providerApplicationVersion": provider, "verifiedBy": tool}
        self._ask("POST", _linked(published, "pb:publish-verification-results"), told)

    def deployed(self, service: str, number: str, environment: str) -> None:
        """Raises InputError for an environment that the broker does not know."""
        listed = self._ask("GET", self._link("pb:environments"))["_embedded"]["environments"]
        known = {each["name"]: each["uuid"] for each in listed}
        if environment not in known:
            mend = f"known: {', '.join(known) or 'none'}; pact broker create-environment makes one"
            raise InputError(Problem(f"the broker has no environment {environment!r}", mend, value=environment))
        where = f"{self.url}/pacticipants/{_name(service)}/versions/{number}/deployed-versions/environment"
        self._ask("POST", f"{where}/{known[environment]}", {})

    def can_deploy(self, service: str, number: str, environment: str | None) -> Result:
        """One finding for each row of the broker's matrix; where there is none, its own reason."""
        asked = {"q[][pacticipant]": service, "q[][version]": number, "latestby": "cvp"}
        asked |= {"environment": environment} if environment else {"latest": "true"}
        matrix = self._ask("GET", f"{self.url}/matrix", parameters=asked)
        findings = tuple(_rows(matrix["matrix"])) or (_reason(service, matrix["summary"]),)
        deployable = matrix["summary"].get("deployable")
        if deployable is not True and all(each.verdict is Verdict.CONFIRMED for each in findings):
            findings = (*findings, _reason(service, matrix["summary"]))
        where = f" to {environment}" if environment else ""
        title = f"{service} can be deployed{where}, says {self.url}"
        return Result(suite="contracts", name=f"can-deploy {service}", title=title, findings=findings)

    def _link(self, relation: str) -> str:
        return _linked(self._ask("GET", f"{self.url}/"), relation)

    def _ask(
        self, method: str, url: str, body: Any = None, *, parameters: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        try:
            answer = self._client.request(method, url, json=body, params=parameters)
        except httpx.HTTPError as error:
            raise GamedayError(f"the Pact Broker at {self.url} does not answer: {error}") from error
        if answer.status_code in REFUSED:
            mend = f"set {TOKEN}, or {USERNAME} and {PASSWORD}"
            raise InputError(
                Problem(f"the Pact Broker at {self.url} answers {answer.status_code}", mend, value=self.url)
            )
        if answer.is_error:
            raise GamedayError(f"{method} {url}: the Pact Broker answers {answer.status_code}: {answer.text[:500]}")
        try:
            found: dict[str, Any] = answer.json() if answer.content else {}
        except ValueError as error:
            raise GamedayError(f"{method} {url}: what answers is no Pact Broker: {error}") from error
        return found


def shared(broker: Broker, catalogue: Catalogue, pacts: Sequence[Pact], results: Sequence[Result]) -> Result:
    """Publishes the pacts, and of each result that a provider's version earned whether it was kept.

    What gRPC promised is no pact, and stays here. A broker that does not answer is inconclusive: whoever relies on it
    would go by what it knew before.
    """
    versions = {name: version(catalogue, service) for name, service in catalogue.services.items()}
    ours = [pact for pact in pacts if not pact.grpc and {pact.consumer, pact.provider} <= versions.keys()]
    try:
        for consumer in dict.fromkeys(pact.consumer for pact in ours):
            broker.publish(consumer, versions[consumer], [pact for pact in ours if pact.consumer == consumer])
        count = sum(_told(broker, pact, versions, results) for pact in ours)
    except (GamedayError, InputError) as error:
        finding = _finding(broker.url, Verdict.INCONCLUSIVE, "not published", str(error))
    else:
        finding = _finding(broker.url, Verdict.CONFIRMED, f"published: pacts {len(ours)}, results {count}", "")
    title = "what was agreed and verified is known to the Pact Broker"
    return Result(suite="contracts", name=CHECK, title=title, findings=(finding,))


def _told(broker: Broker, pact: Pact, versions: Mapping[str, str], results: Sequence[Result]) -> bool:
    """Nothing is told of what was not verified: no result is neither a yes nor a no."""
    found = next((each for each in results if each.facts.get("sha256") == pact.sha256), None)
    if found is None or "version" not in found.facts or found.verdict is Verdict.INCONCLUSIVE:
        return False
    success = found.verdict is Verdict.CONFIRMED
    broker.verified(pact, versions[pact.consumer], str(found.facts["version"]), success=success)
    return True


def _linked(document: Mapping[str, Any], relation: str) -> str:
    try:
        return str(document["_links"][relation]["href"])
    except (KeyError, TypeError) as error:
        raise GamedayError(f"what answers is no Pact Broker, or an old one: it has no link {relation}") from error


def _rows(matrix: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    for row in matrix:
        consumer, provider, result = row["consumer"], row.get("provider") or {}, row.get("verificationResult")
        subject = f"{consumer['name']}->{provider.get('name')}"
        number = (provider.get("version") or {}).get("number")
        if result is None:
            yield _finding(subject, Verdict.INCONCLUSIVE, "never verified", f"by {provider.get('name')} {number}")
        else:
            verdict = Verdict.CONFIRMED if result["success"] else Verdict.REFUTED
            when = result.get("verifiedAt", "at a time unknown")
            yield _finding(subject, verdict, f"{verdict} by {provider.get('name')} {number} {when}", "")


def _reason(service: str, summary: Mapping[str, Any]) -> Finding:
    said = {True: Verdict.CONFIRMED, False: Verdict.REFUTED}
    verdict = said.get(bool(summary["deployable"])) if summary.get("deployable") is not None else None
    return _finding(service, verdict or Verdict.INCONCLUSIVE, str(summary.get("reason", "")), "")


def _finding(subject: str, verdict: Verdict, observed: str, detail: str) -> Finding:
    expected = "published" if subject.startswith("http") else "kept by exactly these two"
    return Finding(check=CHECK, subject=subject, verdict=verdict, expected=expected, observed=observed, detail=detail)


def _name(text: str) -> str:
    return quote(text, safe="")
