"""Which services of a catalogue are models to others, and how that is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gameday.catalogue import Catalogue, Edge, EdgeKind, Service
from gameday.catalogue.endpoints import words
from gameday.catalogue.kinds import image_name

# The last part of the image's name. Those of the first line answer with text, word by word.
LANGUAGE_IMAGES = {
    "ollama", "vllm-openai", "text-generation-inference", "local-ai", "localai", "llama.cpp", "litellm", "sglang",
}  # fmt: skip
MODEL_IMAGES = LANGUAGE_IMAGES | {
    "text-embeddings-inference", "tritonserver", "serving", "torchserve", "mlserver", "infinity",
}  # fmt: skip
# A key with one of these words speaks of a language model, or of another model.
_LANGUAGE_WORDS = {
    "ANTHROPIC", "BEDROCK", "CLAUDE", "COHERE", "DEEPSEEK", "GEMINI", "GPT", "GROQ", "LITELLM", "LLAMA", "LLM",
    "MISTRAL", "OLLAMA", "OPENAI", "OPENROUTER", "VERTEXAI", "VLLM",
}  # fmt: skip
_MODEL_WORDS = {"EMBEDDER", "EMBEDDING", "EMBEDDINGS", "INFERENCE", "MODEL", "PREDICTOR", "RERANKER", "TRITON"}
_SECRETS = {"KEY", "TOKEN"}
# What scrapes, probes and collects asks for no more than how a model is.
_LOOKS_ON = {
    "alloy", "blackbox-exporter", "grafana", "jaeger", "opentelemetry-collector", "opentelemetry-collector-contrib",
    "prometheus", "telegraf", "vmagent",
}  # fmt: skip


@dataclass(frozen=True)
class Known:
    """`why` it is taken for a model; `language`: a language model, whose answer takes seconds."""

    why: str
    language: bool


def providers(catalogue: Catalogue) -> Mapping[str, Known]:
    """The services that others ask for what a model says."""
    found: dict[str, Known] = {}
    for edge in catalogue.edges:
        for key in edge.env:
            spoken = set(words(key))
            if spoken & (_LANGUAGE_WORDS | _MODEL_WORDS):
                known = Known(f"{key} of {edge.consumer}", bool(spoken & _LANGUAGE_WORDS))
                found[edge.provider] = max(found.get(edge.provider, known), known, key=lambda each: each.language)
    for service in catalogue.services.values():
        if image_name(service) in MODEL_IMAGES:
            found[service.name] = Known(f"image {service.image}", image_name(service) in LANGUAGE_IMAGES)
        elif service.loads and service.name not in found:
            found[service.name] = Known("x-gameday.loads", language=False)
    return found


def asked(catalogue: Catalogue) -> Iterator[Edge]:
    """The edges over which a service asks a model."""
    models = providers(catalogue)
    for edge in catalogue.edges:
        looks_on = image_name(catalogue.services[edge.consumer]) in _LOOKS_ON
        if edge.provider in models and edge.kind is not EdgeKind.MESSAGE and not looks_on:
            yield edge


def foreign(catalogue: Catalogue, service: Service) -> Iterator[tuple[str, str]]:
    """Who sells what a model says and is in no file: the word for it, and the key that holds its secret."""
    inside = {
        word for edge in catalogue.edges if edge.consumer == service.name for key in edge.env for word in words(key)
    }
    for key, value in service.environment.items():
        spoken = words(key)
        vendors = _LANGUAGE_WORDS.intersection(spoken) - inside
        if value and vendors and spoken[-1] in _SECRETS:
            yield min(vendors).lower(), key
