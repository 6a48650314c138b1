"""Puts dashboards into a Grafana, through grafana-client."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

from grafana_client.api import GrafanaApi
from grafana_client.client import GrafanaException

from gameday.errors import GamedayError, InputError, Problem

TIMEOUT_SECONDS = 10.0
Outcome = Literal["created", "updated", "unchanged"]

_NOT_FOUND = 404
# Grafana's own bookkeeping: no part of what a dashboard shows.
_ITS_OWN = ("id", "version", "__generated")
_MENDS = {
    401: ("Grafana does not know the token", "make a service account token with the role Editor"),
    403: ("the token may not write dashboards", "give its service account the role Editor"),
    404: ("there is no Grafana API at this address", "name Grafana's own address, such as http://localhost:3000"),
}
_CONFLICTS = {
    409: "it is changed or provisioned from elsewhere",
    412: "another dashboard has its title or a newer version",
}


class Grafana:
    """`url` may have a path where Grafana is served under one."""

    def __init__(self, url: str, token: str) -> None:
        if urlsplit(url).scheme not in ("http", "https"):
            raise InputError(Problem("is no address of a Grafana", "use http://host:port", key="--url", value=url))
        self._url = url
        path = urlsplit(url).path.rstrip("/")
        # The client glues its `api` to the path as it stands.
        base = urlsplit(url)._replace(path=f"{path}/" if path else "").geturl()
        self._api: Any = GrafanaApi.from_url(base, credential=token, timeout=TIMEOUT_SECONDS)

    def push(self, model: Mapping[str, Any]) -> Outcome:
        """Makes Grafana's dashboard of this uid equal to `model`; a second push changes nothing.

        Raises InputError where address or token are wrong, GamedayError where Grafana fails.
        """
        known = self._find(str(model["uid"]))
        if known is not None and _shown(known["dashboard"]) == _shown(model):
            return "unchanged"
        body = {"dashboard": {**_shown(model), "id": None}, "overwrite": True, "message": "gameday dashboards push"}
        if known is not None and (folder := known.get("meta", {}).get("folderUid")):
            body["folderUid"] = folder
        self._call(lambda: self._api.dashboard.update_dashboard(body))
        return "created" if known is None else "updated"

    def _find(self, uid: str) -> Mapping[str, Any] | None:
        try:
            return self._call(lambda: self._api.dashboard.get_dashboard(uid), absent=_NOT_FOUND)
        except LookupError:
            return None

    def _call(self, ask: Callable[[], Any], absent: int | None = None) -> Mapping[str, Any]:
        """Raises LookupError where Grafana answers with the status `absent`."""
        try:
            answer = ask()
        except GrafanaException as error:
            if absent is not None and error.status_code == absent and _speaks_grafana(error):
                raise LookupError from None
            raise self._explain(error) from error
        except (OSError, ValueError) as error:  # the client lets its HTTP library's errors through
            raise GamedayError(f"Grafana does not answer at {self._url}: {error}") from error
        if not isinstance(answer, Mapping):
            raise self._problem(*_MENDS[_NOT_FOUND])
        return answer

    def _explain(self, error: GrafanaException) -> Exception:
        status = error.status_code
        if status in _MENDS:
            return self._problem(*_MENDS[status])
        if status in _CONFLICTS:
            return GamedayError(f"Grafana keeps its dashboard: {_CONFLICTS[status]} ({error.message})")
        if not status:
            return GamedayError(f"Grafana does not answer at {self._url}: {error.message}")
        return GamedayError(f"Grafana at {self._url} failed with status {status}: {error.message}")

    def _problem(self, message: str, mend: str) -> InputError:
        return InputError(Problem(message, mend, key="--url", value=self._url))


def _shown(model: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in model.items() if key not in _ITS_OWN}


def _speaks_grafana(error: GrafanaException) -> bool:
    """A 404 of Grafana's API says so in JSON; that of another server is no answer to the question."""
    return isinstance(error.response, Mapping) and "message" in error.response
