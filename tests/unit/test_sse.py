"""What is read of a stream of events, whole and cut."""

from __future__ import annotations

from gameday import sse

WHOLE = (
    'event: delta\ndata: {"text": "Hel"}\n\nevent: delta\ndata: {"text": "lo"}\n\nevent: done\ndata: {"why": "end"}\n\n'
)


def test_a_stream_is_its_events_and_how_it_ended() -> None:
    assert sse.read(WHOLE) == {
        "events": ["delta", "delta", "done"],
        "last": {"event": "done", "data": {"why": "end"}},
        "rest": "",
    }


def test_what_is_cut_is_no_event() -> None:
    found = sse.read(WHOLE[:-1])
    assert found["last"] == {"event": "delta", "data": {"text": "lo"}}
    assert found["rest"] == 'event: done\ndata: {"why": "end"}\n'


def test_data_may_have_several_lines_and_need_not_be_json() -> None:
    found = sse.read(": I am still here\r\n\r\ndata: one\r\ndata:two\r\n\r\n")
    assert found == {"events": ["message"], "last": {"event": "message", "data": "one\ntwo"}, "rest": ""}


def test_nothing_is_no_event() -> None:
    assert sse.read("") == {"events": [], "last": None, "rest": ""}
