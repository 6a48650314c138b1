"""Signed callbacks: what is believed, and every reason for which something is not."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from system.kit.webhook import ID, SIGNATURE, TIMESTAMP, TOLERANCE_SECONDS, Secrets, SignatureError

NOW = 1_674_087_231
BODY = b'{"test": 2432232314}'


def secret(letter: str) -> str:
    return "whsec_" + base64.b64encode(letter.encode() * 32).decode()


OURS = Secrets.read(secret("a"))


def refused(headers: dict[str, str], body: bytes = BODY, now: float = NOW, secrets: Secrets = OURS) -> str:
    with pytest.raises(SignatureError) as raised:
        secrets.verify(headers, body, now)
    return raised.value.reason


def test_the_specifications_own_example_is_signed_as_it_says() -> None:
    """From the specification's libraries, which all have this one."""
    secrets = Secrets.read("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = secrets.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, BODY)
    assert headers[SIGNATURE] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_what_was_signed_is_believed_within_the_window() -> None:
    headers = OURS.sign("d-1", NOW, BODY)
    for seconds in (-TOLERANCE_SECONDS, 0, TOLERANCE_SECONDS):
        assert OURS.verify(headers, BODY, NOW + seconds) == "d-1"


def test_what_was_changed_is_wrong() -> None:
    headers = OURS.sign("d-1", NOW, BODY)
    assert refused(headers, BODY + b" ") == "wrong"
    assert refused({**headers, ID: "d-2"}) == "wrong"
    assert refused({**headers, TIMESTAMP: str(NOW + 1)}) == "wrong"
    assert refused({**headers, SIGNATURE: headers[SIGNATURE][:-2] + "A="}) == "wrong"
    assert refused({**headers, SIGNATURE: headers[SIGNATURE].replace("v1,", "v2,")}) == "wrong"
    assert refused({**headers, SIGNATURE: "v1, v1 ,"}) == "wrong"
    assert refused({**headers, SIGNATURE: "v1,\udcff"}) == "wrong"
    assert refused(headers, secrets=Secrets.read(secret("b"))) == "wrong"


def test_what_was_sent_before_is_old_and_a_clock_that_is_ahead_is_early() -> None:
    headers = OURS.sign("d-1", NOW, BODY)
    assert refused(headers, now=NOW + TOLERANCE_SECONDS + 1) == "old"
    assert refused(headers, now=NOW - TOLERANCE_SECONDS - 1) == "early"
    assert refused({**headers, SIGNATURE: "v1,x"}, now=NOW + 9999) == "wrong", (
        "who cannot sign learns nothing of clocks"
    )


@pytest.mark.parametrize("name", [ID, TIMESTAMP, SIGNATURE])
def test_what_is_missing_is_missed(name: str) -> None:
    headers = OURS.sign("d-1", NOW, BODY)
    assert refused({key: value for key, value in headers.items() if key != name}) == "missing"
    assert refused({**headers, name: ""}) == "missing"


@pytest.mark.parametrize("timestamp", ["now", "-1", "1.5", "١٢٣", "9" * 30, " 1"])
def test_a_time_that_is_none_is_malformed(timestamp: str) -> None:
    assert refused({**OURS.sign("d-1", NOW, BODY), TIMESTAMP: timestamp}) == "malformed"


def test_a_secret_is_changed_without_losing_a_callback() -> None:
    old, both, new = Secrets.read(secret("a")), Secrets.read(f"{secret('b')} {secret('a')}"), Secrets.read(secret("b"))
    assert both.verify(old.sign("d-1", NOW, BODY), BODY, NOW) == "d-1"
    assert both.verify(new.sign("d-1", NOW, BODY), BODY, NOW) == "d-1"
    assert new.verify(both.sign("d-1", NOW, BODY), BODY, NOW) == "d-1"
    double = old.sign("d-1", NOW, BODY)
    double[SIGNATURE] = f"{double[SIGNATURE]} {new.sign('d-1', NOW, BODY)[SIGNATURE]}"
    assert new.verify(double, BODY, NOW) == "d-1"


@pytest.mark.parametrize("text", ["", " ", "whsec_", "whsec_!!", "whsec_c2hvcnQ=", secret("a").removeprefix("whsec_")])
def test_a_secret_that_is_none_is_refused_without_being_told(text: str) -> None:
    with pytest.raises(ValueError, match="whsec_ and base64") as raised:
        Secrets.read(text)
    told = text.removeprefix("whsec_").strip()
    assert not told or told not in str(raised.value)


@given(st.text(), st.text(), st.text(), st.binary())
def test_nothing_that_was_not_signed_is_believed(id_: str, timestamp: str, signature: str, body: bytes) -> None:
    assert refused({ID: id_, TIMESTAMP: timestamp, SIGNATURE: signature}, body)
