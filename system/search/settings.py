"""What search-svc is told by its environment."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import model_validator

from system.kit.settings import Settings


class SearchSettings(Settings):
    """Times in seconds. With `pinecone_api_key`, vectors are kept in the Pinecone index at `pinecone_host`.

    Without `broker_url` no decision is told.
    """

    port: int = 3003
    database_url: str
    broker_url: str = ""
    model_dir: Path = Path(__file__).parent / "model"
    model_watch_seconds: float = 1.0
    embed_timeout_seconds: float = 0.5
    index_interval_seconds: float = 5.0
    breaker_enabled: bool = True
    breaker_ai_failures: int = 3
    breaker_reset_seconds: float = 30.0
    pinecone_api_key: str | None = None
    pinecone_host: str | None = None
    pinecone_timeout_seconds: float = 1.0

    @model_validator(mode="after")
    def _one_index(self) -> Self:
        if self.pinecone_api_key and not self.pinecone_host:
            raise ValueError("PINECONE_API_KEY needs PINECONE_HOST, the address of the index")
        return self
