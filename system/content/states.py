"""The states of content-svc, for the verification of contracts."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import FastAPI

from system.content.documents import State as DocumentState
from system.kit import database
from system.kit.states import Enter, Params, State


def _made(state: DocumentState) -> Enter:

    async def insert(app: FastAPI, params: Params) -> None:
        async with database.transaction(app.state.context.pool) as connection:
            await connection.execute(
                """INSERT INTO documents (id, user_id, repeat_key, title, prompt, body, state, held_for, headers)
                    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, '{}')""",
                (
                    params["documentId"],
                    params["userId"],
                    params["repeatKey"],
                    params["title"],
                    params["prompt"],
                    params["text"],
                    state,
                    "verdict" if state == "held" else None,
                ),
            )

    return insert


async def _nothing(_app: FastAPI, _params: Params) -> None:
    """What is to be is not there."""


async def _remove(app: FastAPI, params: Params) -> None:
    async with database.transaction(app.state.context.pool) as connection:
        await connection.execute("DELETE FROM documents WHERE id = %s", (params["documentId"],))


STATES: Mapping[str, State] = {
    "a published document": State(_made("published"), _remove),
    "a document that is held": State(_made("held"), _remove),
    "no such document": State(_nothing, _remove),
}
