"""A task from its message to its callback, with a model, documents and receivers that do as they are told."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from system.ai_worker.delivery import UndeliveredError
from system.ai_worker.destination import Guard, RefusedError
from system.ai_worker.documents import Document
from system.ai_worker.ledger import Entry
from system.ai_worker.worker import MISREAD_AT_MOST, Insistence, NotYetError, Worker
from system.kit import client
from system.kit.client import UnavailableError
from system.kit.consumer import PoisonError, Received
from system.kit.tasks import Outcome, Task

URL = "http://api-gateway:3000/webhook/summary"
RECEIVED = Received("ai-tasks", "ai-worker.ai-tasks", uuid.uuid4())
GONE = UnavailableError("ai-worker->x", "connection")


class Ledger:
    def __init__(self) -> None:
        self.kept: dict[uuid.UUID, str] = {}
        self.gone_from: int | None = None
        self.asked = 0

    def _ask(self) -> None:
        self.asked += 1
        if self.gone_from is not None and self.asked >= self.gone_from:
            raise GONE

    async def find(self, task: uuid.UUID) -> Entry | None:
        self._ask()
        return Entry.model_validate_json(self.kept[task]) if task in self.kept else None

    async def write(self, entry: Entry) -> None:
        self._ask()
        self.kept[entry.task.id] = entry.model_dump_json()

    def of(self, task: Task) -> Entry:
        return Entry.model_validate_json(self.kept[task.id])


class Script:
    """Plays its answers one after the other, the last for ever: an error is raised."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.calls = 0

    def play(self) -> object:
        self.calls += 1
        answer = self.answers[min(self.calls, len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Documents(Script):
    async def get(self, document: uuid.UUID) -> object:
        return self.play()


class Summariser(Script):
    name = "claude-test"

    async def summarise(self, document: Document) -> object:
        return self.play()


class Courier(Script):
    def __init__(self, *answers: object) -> None:
        super().__init__(*answers)
        self.told: list[Outcome] = []

    async def deliver(self, url: str, outcome: Outcome) -> None:
        self.play()
        self.told.append(outcome)


class World:
    def __init__(
        self, documents: Sequence[object] = (), summaries: Sequence[object] = (), deliveries: Sequence[object] = ()
    ) -> None:
        self.ledger = Ledger()
        self.documents = Documents(*(documents or [Document(title="Tents", text="They keep rain out.")]))
        self.summariser = Summariser(*(summaries or ["Rain stays out."]))
        self.courier = Courier(*(deliveries or [None]))
        self.worker = Worker(
            self.ledger,  # type: ignore[arg-type]
            self.documents,  # type: ignore[arg-type]
            self.summariser,  # type: ignore[arg-type]
            Guard({"api-gateway": "http://127.0.0.1:1"}),
            self.courier,  # type: ignore[arg-type]
            Insistence(attempts=3, wait=5.0, longest=60.0),
        )

    async def handle(self, task: Task) -> str:
        return await self.worker.handle(task, RECEIVED)

    def overdue(self, task: Task) -> None:
        """As if the time of the next attempt had come."""
        entry = self.ledger.of(task)
        assert entry.due
        assert entry.due > datetime.now(UTC)
        self.ledger.kept[task.id] = entry.model_copy(update={"due": datetime.now(UTC)}).model_dump_json()


def task(**changes: object) -> Task:
    told = {"id": uuid.uuid4(), "type": "generate-summary", "documentId": uuid.uuid4(), "callbackUrl": URL}
    return Task.model_validate(told | changes)


async def test_a_task_is_done_told_and_not_done_again() -> None:
    world, wanted = World(), task()
    assert await world.handle(wanted) == "done"
    assert await world.handle(wanted) == "duplicate"
    (told,) = world.courier.told
    assert (told.taskId, told.documentId, told.status) == (wanted.id, wanted.documentId, "succeeded")
    assert (told.summary, told.model, told.error) == ("Rain stays out.", "claude-test", None)
    assert (world.documents.calls, world.summariser.calls) == (1, 1)


async def test_a_worker_that_dies_after_the_model_answered_asks_it_once() -> None:
    world, wanted = World(deliveries=[GONE, None]), task()
    with pytest.raises(UnavailableError):
        await world.handle(wanted)
    assert await world.handle(wanted) == "done"
    assert (world.summariser.calls, len(world.courier.told)) == (1, 1)


async def test_a_worker_that_dies_after_the_callback_tells_the_same_again() -> None:
    """The receiver knows it by its id."""
    world, wanted = World(), task()
    world.ledger.gone_from = 3
    with pytest.raises(UnavailableError):
        await world.handle(wanted)
    world.ledger.gone_from = None
    assert await world.handle(wanted) == "done"
    first, second = world.courier.told
    assert first == second


async def test_a_callback_that_fails_is_tried_again_when_it_is_due_and_set_aside_in_the_end() -> None:
    world, wanted = World(deliveries=[UndeliveredError("the receiver answered 500")]), task()
    for attempts in (1, 2):
        with pytest.raises(NotYetError, match=f"{attempts} attempts: the receiver answered 500"):
            await world.handle(wanted)
        with pytest.raises(NotYetError, match="due at"):
            await world.handle(wanted)
        assert world.courier.calls == attempts
        world.overdue(wanted)
    with pytest.raises(PoisonError, match="not delivered in 3 attempts: the receiver answered 500"):
        await world.handle(wanted)
    entry = world.ledger.of(wanted)
    assert (entry.state, entry.error, world.summariser.calls) == ("untold", "the receiver answered 500", 1)


async def test_what_somebody_brought_back_is_tried_as_often_again() -> None:
    world, wanted = World(deliveries=[UndeliveredError("no", final=True), UndeliveredError("later"), None]), task()
    with pytest.raises(PoisonError, match="not delivered in 1 attempts: no"):
        await world.handle(wanted)
    with pytest.raises(NotYetError, match="1 attempts: later"):
        await world.handle(wanted)
    world.overdue(wanted)
    assert await world.handle(wanted) == "done"
    assert world.summariser.calls == 1


async def test_the_receivers_retry_after_is_waited_for() -> None:
    world, wanted = World(deliveries=[UndeliveredError("429", retry_after=600.0)]), task()
    with pytest.raises(NotYetError):
        await world.handle(wanted)
    due = world.ledger.of(wanted).due
    assert due
    assert due - datetime.now(UTC) > timedelta(seconds=590)


def test_the_waits_grow_to_their_limit() -> None:
    insistence = Insistence(attempts=9, wait=5.0, longest=60.0)
    for attempts, most in ((1, 5), (2, 15), (3, 45), (4, 60), (8, 60)):
        wait = insistence.after(attempts, None).total_seconds()
        assert most / 2 <= wait <= most
    assert insistence.after(1, 1.0).total_seconds() > 1
    assert insistence.after(1, 100.0).total_seconds() == 100


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"type": "mine-bitcoin"}, "unknown task type 'mine-bitcoin'; known is generate-summary"),
        ({"callbackUrl": "http://169.254.169.254/latest/meta-data"}, "callbackUrl: a callback outside this system"),
        ({"callbackUrl": "https://169.254.169.254/latest"}, "callbackUrl: 169.254.169.254 is no public address"),
    ],
)
async def test_what_must_not_be_done_is_set_aside_with_the_reason_and_costs_nothing(
    changes: dict[str, str], why: str
) -> None:
    world, wanted = World(), task(**changes)
    with pytest.raises(PoisonError, match=why):
        await world.handle(wanted)
    assert (world.documents.calls, world.summariser.calls, world.courier.calls) == (0, 0, 0)
    assert world.ledger.of(wanted).state == "refused"
    with pytest.raises(PoisonError):
        await world.handle(wanted)


async def test_a_name_that_leads_inside_by_the_time_of_the_callback_is_refused() -> None:
    world, wanted = World(deliveries=[RefusedError("10.0.0.1 is no public address")]), task()
    with pytest.raises(PoisonError, match="no public address"):
        await world.handle(wanted)
    assert world.ledger.of(wanted).state == "refused"


async def test_one_id_for_two_tasks_is_refused() -> None:
    world, wanted = World(), task()
    await world.handle(wanted)
    with pytest.raises(PoisonError, match="was another one before"):
        await world.handle(task(id=wanted.id))
    assert len(world.courier.told) == 1


async def test_a_document_that_is_not_there_is_told() -> None:
    world = World(documents=[None])
    assert await world.handle(task()) == "done"
    assert (world.courier.told[0].status, world.courier.told[0].error) == ("failed", "there is no such document")
    assert world.summariser.calls == 0


async def test_a_model_that_does_not_take_a_document_is_told() -> None:
    world = World(summaries=[client.RefusedError("ai-worker->llm-emulator", "status", "400")])
    assert await world.handle(task()) == "done"
    assert world.courier.told[0].error == "the model does not take this document"


@pytest.mark.parametrize("reason", ["open", "timeout", "connection", "status"])
async def test_a_model_that_is_away_is_waited_for_however_long(reason: str) -> None:
    gone = UnavailableError("ai-worker->llm-emulator", reason)  # type: ignore[arg-type]
    world, wanted = World(summaries=[gone] * 50 + ["At last."]), task()
    for _ in range(50):
        with pytest.raises(UnavailableError):
            await world.handle(wanted)
    assert await world.handle(wanted) == "done"
    assert world.courier.told[0].summary == "At last."


async def test_a_model_that_cannot_be_understood_is_not_paid_for_ever() -> None:
    world, wanted = World(summaries=[UnavailableError("ai-worker->llm-emulator", "schema")]), task()
    for _ in range(MISREAD_AT_MOST - 1):
        with pytest.raises(UnavailableError):
            await world.handle(wanted)
    assert await world.handle(wanted) == "done"
    assert world.courier.told[0].error == "the model gave no summary that could be read"
    assert world.summariser.calls == MISREAD_AT_MOST


async def test_without_documents_or_a_store_nothing_is_done_and_nothing_lost() -> None:
    world, wanted = World(documents=[GONE, Document(title="t", text="x")]), task()
    with pytest.raises(UnavailableError):
        await world.handle(wanted)
    world.ledger.gone_from = 0
    with pytest.raises(UnavailableError):
        await world.handle(wanted)
    assert world.courier.calls == 0
    world.ledger.gone_from = None
    assert await world.handle(wanted) == "done"
