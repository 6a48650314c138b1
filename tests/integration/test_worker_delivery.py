"""One callback at a real receiver that answers, redirects, stalls or lies about who it is."""

from __future__ import annotations

import asyncio
import datetime
import ssl
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import format_datetime
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from ports import free_port

from system.ai_worker import destination
from system.ai_worker.delivery import Courier, UndeliveredError
from system.ai_worker.destination import Address, Guard, RefusedError
from system.ai_worker.receivers import Receivers
from system.kit import deadline, telemetry
from system.kit.client import UnavailableError
from system.kit.tasks import Outcome
from system.kit.webhook import Secrets

HOST = "hook.example.com"
SECRETS = Secrets.read("whsec_" + "YWFh" * 12)
OUTCOME = Outcome(
    taskId=uuid.uuid4(),
    documentId=uuid.uuid4(),
    status="succeeded",
    summary="Rain stays out.",
    model="claude-test",
    finishedAt=datetime.datetime.now(datetime.UTC),
)
OK = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


@dataclass
class Receiver:
    """Answers each request with `answer`, and goes on for ever after one that ends in dots; None is silence."""

    answer: str | None = OK
    port: int = 0
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)
    connections: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            lines = [line.partition(": ") for line in head.split("\r\n")[1:] if line]
            headers = {name.lower(): value for name, _, value in lines} | {"": head.split("\r\n")[0]}
            self.requests.append((headers, await reader.readexactly(int(headers["content-length"]))))
            writer.write((self.answer or "").encode())
            await writer.drain()
            if not self.answer or self.answer.endswith("..."):
                await reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def listening(receiver: Receiver, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", free_port(), ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    async with server:
        yield receiver


@pytest.fixture(autouse=True)
def _fresh() -> None:
    deadline.clear()
    telemetry.USER_ID.set("")


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with listening(Receiver()) as made:
        yield made


def courier(receiver: Receiver, timeout: float = 5.0, failures: int = 0, reset: float = 0.1) -> Courier:
    services = {"api-gateway": f"http://127.0.0.1:{receiver.port}"}
    return Courier(Guard(services), Receivers(list(services), failures, reset), SECRETS, timeout)


URL = "http://api-gateway:3000/webhook/summary?a=1"


async def test_a_receiver_gets_the_outcome_signed_with_the_same_id_each_time(receiver: Receiver) -> None:
    telemetry.CORRELATION_ID.set("c-7")
    for _ in range(2):
        await courier(receiver).deliver(URL, OUTCOME)
    for headers, body in receiver.requests:
        assert headers[""] == "POST /webhook/summary?a=1 HTTP/1.1"
        assert headers["host"] == "api-gateway:3000"
        assert headers["content-type"] == "application/json"
        assert headers["x-correlation-id"] == "c-7"
        assert SECRETS.verify(headers, body, time.time()) == str(OUTCOME.taskId)
        assert Outcome.model_validate_json(body) == OUTCOME


@pytest.mark.parametrize(
    ("status", "final"),
    [
        *((status, True) for status in (301, 302, 307, 308, 400, 401, 404, 410, 413)),
        *((status, False) for status in (408, 409, 425, 429, 500, 502, 503, 599)),
    ],
)
async def test_what_a_receiver_answers_decides_whether_to_try_again(
    receiver: Receiver, status: int, final: bool
) -> None:
    receiver.answer = f"HTTP/1.1 {status} X\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n"
    with pytest.raises(UndeliveredError, match=str(status)) as raised:
        await courier(receiver).deliver(URL, OUTCOME)
    assert raised.value.final is final
    assert receiver.connections == 1


async def test_a_redirect_is_not_followed_wherever_it_leads(receiver: Receiver) -> None:
    async with listening(Receiver()) as elsewhere:
        for place in (f"http://127.0.0.1:{elsewhere.port}/", f"//127.0.0.1:{elsewhere.port}/", "/again"):
            receiver.answer = f"HTTP/1.1 307 X\r\nlocation: {place}\r\ncontent-length: 0\r\n\r\n"
            with pytest.raises(UndeliveredError, match="redirects are not followed"):
                await courier(receiver).deliver(URL, OUTCOME)
        assert elsewhere.connections == 0
        assert receiver.connections == 3


def later(seconds: float) -> str:
    return format_datetime(datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [("120", 120, 120), (120, 100, 120), (-60, 0, 0), ("9" * 12, 86_400, 86_400), ("0", 0, 0)],
)
async def test_a_retry_after_is_read_in_both_forms(
    receiver: Receiver, header: str | int, least: int, most: int
) -> None:
    """A number stands for the time that many seconds from now: the clock runs on while tests are collected."""
    told = header if isinstance(header, str) else later(header)
    receiver.answer = f"HTTP/1.1 503 X\r\nRetry-After: {told}\r\ncontent-length: 0\r\n\r\n"
    with pytest.raises(UndeliveredError) as raised:
        await courier(receiver).deliver(URL, OUTCOME)
    assert raised.value.retry_after is not None
    assert least <= raised.value.retry_after <= most


@pytest.mark.parametrize("header", ["", "soon", "-5", "1.5", "٣", "Thu, 99 Jan 2026 00:00:00 GMT"])
async def test_a_retry_after_that_is_none_is_none(receiver: Receiver, header: str) -> None:
    receiver.answer = f"HTTP/1.1 503 X\r\nretry-after: {header}\r\ncontent-length: 0\r\n\r\n"
    with pytest.raises(UndeliveredError) as raised:
        await courier(receiver).deliver(URL, OUTCOME)
    assert raised.value.retry_after is None


async def test_an_endless_answer_is_not_read(receiver: Receiver) -> None:
    receiver.answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + "400\r\n" + "x" * 100 + "..."
    started = time.monotonic()
    await courier(receiver).deliver(URL, OUTCOME)
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("answer", [None, "HTTP/1.1 200 OK\r\nx-slow: ..."])
async def test_a_receiver_that_does_not_answer_is_left_after_the_timeout(
    receiver: Receiver, answer: str | None
) -> None:
    receiver.answer = answer
    started = time.monotonic()
    with pytest.raises(UndeliveredError, match=r"no answer within 0\.2 s") as raised:
        await courier(receiver, timeout=0.2).deliver(URL, OUTCOME)
    assert not raised.value.final
    assert time.monotonic() - started < 2


async def test_a_receiver_that_is_not_there_may_come(receiver: Receiver) -> None:
    receiver.port = free_port()
    with pytest.raises(UndeliveredError, match="no connection") as raised:
        await courier(receiver).deliver(URL, OUTCOME)
    assert not raised.value.final


async def test_one_that_fails_is_spared_and_found_again(receiver: Receiver) -> None:
    receiver.answer = "HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n"
    sent = courier(receiver, failures=2)
    for _ in range(2):
        with pytest.raises(UndeliveredError):
            await sent.deliver(URL, OUTCOME)
    with pytest.raises(UnavailableError) as raised:
        await sent.deliver(URL, OUTCOME)
    assert raised.value.reason == "open"
    assert receiver.connections == 2
    receiver.answer = OK
    await asyncio.sleep(raised.value.retry_after)
    await sent.deliver(URL, OUTCOME)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A file with a key and a certificate for HOST alone, and the certificate to trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(private + pem)
    return path, pem


@pytest.fixture
async def outside(
    certificate: tuple[Path, bytes], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Receiver, Courier]]:
    """A receiver at HOST, whose name leads here once and elsewhere from then on. Loopback counts as public."""
    context, receiver, asked = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), Receiver(), 0
    context.load_cert_chain(certificate[0])
    context.sni_callback = lambda _socket, name, _context: receiver.names.append(name)
    monkeypatch.setattr(destination, "check", lambda address: None)

    async def resolve(host: str) -> Sequence[Address]:
        nonlocal asked
        asked += 1
        assert host == HOST
        return [ip_address("127.0.0.1" if asked == 1 else "127.0.0.2")]

    async with listening(receiver, context):
        monkeypatch.setattr(destination, "PORTS", {receiver.port})
        yield receiver, Courier(Guard({}, resolve), Receivers([], 0, 1), SECRETS, 5.0, certificate[1])


async def test_a_connection_goes_where_was_looked_under_the_name_that_was_asked_for(
    outside: tuple[Receiver, Courier],
) -> None:
    receiver, sent = outside
    telemetry.CORRELATION_ID.set("c-7")
    telemetry.USER_ID.set("user-7")
    await sent.deliver(f"https://{HOST}:{receiver.port}/hook", OUTCOME)
    ((headers, body),) = receiver.requests
    assert headers["host"] == f"{HOST}:{receiver.port}"
    assert receiver.names == [HOST]
    assert SECRETS.verify(headers, body, time.time()) == str(OUTCOME.taskId)
    assert {"x-user-id", "x-correlation-id", "traceparent"}.isdisjoint(headers), "nobody's business outside"


async def test_a_receiver_that_cannot_prove_its_name_is_told_nothing(
    outside: tuple[Receiver, Courier], monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver, _ = outside

    async def resolve(host: str) -> Sequence[Address]:
        return [ip_address("127.0.0.1")]

    for roots, host in ((None, HOST), (outside[1]._roots, "other.example.com")):
        sent = Courier(Guard({}, resolve), Receivers([], 0, 1), SECRETS, 5.0, roots)
        with pytest.raises(UndeliveredError, match="no connection"):
            await sent.deliver(f"https://{host}:{receiver.port}/hook", OUTCOME)
    assert receiver.requests == []


async def test_a_name_that_leads_inside_is_refused_before_anything_is_sent(receiver: Receiver) -> None:
    async def resolve(host: str) -> Sequence[Address]:
        return [ip_address("127.0.0.1")]

    sent = Courier(Guard({}, resolve), Receivers([], 0, 1), SECRETS, 5.0)
    with pytest.raises(RefusedError, match="no public address"):
        await sent.deliver(f"https://{HOST}/hook", OUTCOME)
    assert receiver.connections == 0
