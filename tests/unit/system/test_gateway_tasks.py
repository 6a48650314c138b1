"""Taking a task: promised only once the broker has it, and given to it once."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import pytest

from system.gateway.taskbook import Entry, Taken
from system.gateway.tasks import Tasks
from system.kit.client import UnavailableError
from system.kit.problem import ProblemError
from system.kit.tasks import Task
from system.kit.webhook import Secrets

CALLBACK = "http://api-gateway:3000/webhook/summary"


class Book:
    def __init__(self) -> None:
        self.entries: dict[uuid.UUID, Entry] = {}

    async def open(self, taken: Taken) -> Entry:
        return self.entries.setdefault(taken.id, Entry(taken, sent=False, outcome=None))

    async def sent(self, task: uuid.UUID) -> None:
        self.entries[task] = Entry(self.entries[task].taken, sent=True, outcome=None)


class Broker:
    def __init__(self) -> None:
        self.away = False
        self.got: list[tuple[str, Task, uuid.UUID]] = []

    async def publish(self, event: str, body: Task, *, message_id: uuid.UUID) -> None:
        if self.away:
            raise UnavailableError("api-gateway->rabbitmq", "timeout")
        self.got.append((event, body, message_id))


def taken(**changes: object) -> Taken:
    told = {
        "id": uuid.uuid4(),
        "owner": "u1",
        "type": "generate-summary",
        "documentId": uuid.uuid4(),
        "takenAt": datetime.now(UTC),
    }
    return Taken.model_validate(told | changes)


def made() -> tuple[Tasks, Broker]:
    broker = Broker()
    secrets = Secrets.read("whsec_" + "YWFh" * 12)
    return Tasks(Book(), broker, None, secrets, CALLBACK), broker  # type: ignore[arg-type]


async def test_a_task_goes_to_the_broker_once_under_its_own_id() -> None:
    tasks, broker = made()
    wanted = taken()
    for _ in range(3):
        await tasks.take(wanted)
    ((event, task, message_id),) = broker.got
    assert (event, task.id, message_id) == ("ai-tasks", wanted.id, wanted.id)
    assert (task.type, task.documentId, task.callbackUrl) == (wanted.type, wanted.documentId, CALLBACK)


async def test_what_the_broker_did_not_confirm_is_not_promised_and_sent_when_it_is_asked_for_again() -> None:
    tasks, broker = made()
    wanted = taken()
    broker.away = True
    for _ in range(2):
        with pytest.raises(UnavailableError):
            await tasks.take(wanted)
    broker.away = False
    await tasks.take(wanted)
    await tasks.take(wanted)
    assert [task.id for _, task, _ in broker.got] == [wanted.id]


async def test_one_key_for_two_wishes_is_refused() -> None:
    tasks, broker = made()
    first = taken()
    await tasks.take(first)
    with pytest.raises(ProblemError) as raised:
        await tasks.take(taken(id=first.id))
    assert raised.value.status == 422
    assert len(broker.got) == 1
