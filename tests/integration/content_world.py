"""The four services that content-svc asks, as far as it asks them, in one server that can be told to misbehave.

A prompt says what is to become of it: `"unsafe; stop before search.remove"`.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from ports import free_port
from servers import eventually
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

CREATE, GENERATE, CHECK, INDEX = "user.create_content", "chat.generate", "moderation.check", "search.index"
UNINDEX, UNGENERATE, UNCREATE = "search.remove", "chat.forget", "user.remove_content"


@dataclass
class World:
    """What there is at the other services, by document. `away` are the steps that are answered with 503."""

    port: int = field(default_factory=free_port)
    records: dict[str, str] = field(default_factory=dict)
    sessions: dict[str, str] = field(default_factory=dict)
    items: dict[str, str] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    wishes: dict[str, str] = field(default_factory=dict)
    away: set[str] = field(default_factory=set)
    without_model: bool = False
    rulings: dict[str, str] = field(default_factory=dict)
    calls: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    stopped: set[str] = field(default_factory=set)
    going_on: bool = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        record, item = "/internal/users/{user}/content/{document}", "/items/{document}"
        routes = [
            Route(record, self._on(CREATE, self._create), methods=["PUT"]),
            Route(record, self._on(UNCREATE, self._uncreate), methods=["DELETE"]),
            Route(record, self._there(self.records), methods=["GET"]),
            Route("/chat", self._on(GENERATE, self._generate), methods=["POST"]),
            Route("/chat/sessions/{document}", self._on(UNGENERATE, self._ungenerate), methods=["DELETE"]),
            Route("/check", self._on(CHECK, self._check), methods=["POST"]),
            Route(item, self._on(INDEX, self._index), methods=["PUT"]),
            Route(item, self._on(UNINDEX, self._unindex), methods=["DELETE"]),
            Route(item, self._there(self.items), methods=["GET"]),
        ]
        config = uvicorn.Config(
            Starlette(routes=routes), port=self.port, log_config=None, lifespan="off", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        eventually(lambda: self._server.started, 5, "the world did not start")

    def stop(self) -> None:
        self.going_on = True
        self._server.force_exit = self._server.should_exit = True
        self._thread.join()

    def steps(self, document: str) -> list[str]:
        return [step for step, of, _ in self.calls if of == document]

    def has(self, document: str) -> tuple[bool, bool, bool]:
        return document in self.records, document in self.sessions, document in self.items

    def _on(self, step: str, effect: Callable[[str, Any], Response]) -> Callable[[Request], Any]:
        async def handle(request: Request) -> Response:
            body = json.loads(await request.body() or b"{}")
            document = request.path_params.get("document") or body.get("sessionId") or body["contentId"]
            if step == CREATE:
                self.wishes.setdefault(document, body["body"])
            self.calls.append((step, document, dict(request.headers)))
            await self._stop(document, f"stop before {step}")
            if step in self.away:
                return JSONResponse({}, 503)
            answer = effect(document, body)
            await self._stop(document, f"stop after {step}")
            return answer

        return handle

    async def _stop(self, document: str, where: str) -> None:
        """Once in the life of a document."""
        # The session is forgotten before it is made, too; that is no step.
        if where.endswith(UNGENERATE) and UNINDEX not in self.steps(document):
            return
        if self.wishes.get(document, "").endswith(where) and document not in self.stopped:
            self.stopped.add(document)
            while not self.going_on:
                await asyncio.sleep(0.01)

    def _create(self, document: str, body: Any) -> Response:
        if "nobody" in body["body"]:
            return JSONResponse({}, 404)
        if document in self.gone:
            return JSONResponse({}, 410)
        self.records[document] = body["title"]
        return JSONResponse({}, 201)

    def _generate(self, document: str, body: Any) -> Response:
        if self.without_model:
            return JSONResponse({"text": "Later.", "source": "fallback", "stop_reason": "fallback"})
        self.sessions[document] = self.sessions.get(document, "") + body["message"]
        return JSONResponse({"text": f"{document} says", "source": "model", "stop_reason": "end_turn"})

    def _check(self, document: str, body: Any) -> Response:
        wish = self.wishes[document]
        unsure = self.rulings.get(document, "held") if wish.startswith("unsure") else "allowed"
        verdict = "refused" if wish.startswith("unsafe") else unsure
        assert body["text"] == f"{document} says"
        return JSONResponse({"contentId": document, "verdict": verdict, "source": "model", "reason": ""})

    def _index(self, document: str, body: Any) -> Response:
        if document in self.gone:
            return JSONResponse({}, 410)
        self.items[document] = body["text"]
        return JSONResponse({}, 201)

    def _unindex(self, document: str, body: Any) -> Response:
        self.gone.add(document)
        self.items.pop(document, None)
        return Response(status_code=204)

    def _ungenerate(self, document: str, body: Any) -> Response:
        self.sessions.pop(document, None)
        return Response(status_code=204)

    def _uncreate(self, document: str, body: Any) -> Response:
        self.gone.add(document)
        self.records.pop(document, None)
        return Response(status_code=204)

    def _there(self, among: dict[str, str]) -> Callable[[Request], Any]:
        async def get(request: Request) -> Response:
            return JSONResponse({}, 200 if request.path_params["document"] in among else 404)

        return get
