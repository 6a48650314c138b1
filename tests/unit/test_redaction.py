"""What would be a secret is not written into the files of a run."""

from __future__ import annotations

from gameday.redaction import redacted


def test_secrets_do_not_get_into_the_files_of_a_run() -> None:
    hidden = redacted(
        {"POSTGRES_PASSWORD": "x", "list": [{"api_key": "y"}], "tokens": ["z"], "input_tokens": 3, "PORT": "1"}
    )
    assert hidden == {
        "POSTGRES_PASSWORD": "***",
        "list": [{"api_key": "***"}],
        "tokens": ["***"],
        "input_tokens": 3,
        "PORT": "1",
    }
