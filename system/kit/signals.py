"""Every name that the system's telemetry has: metrics, spans, log events. Dashboards and alerts use these names.

A counter whose labels are known is made at once, so that its series exists, at 0,
before the first event: an alert on a series that is not there never fires.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Literal, TypeVar, get_args

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

# One more series for each counter and histogram, which nobody asks for and every scrape would pay for.
disable_created_metrics()  # type: ignore[no-untyped-call]

Metric = TypeVar("Metric", Counter, Gauge, Histogram)
Outcome = Literal["success", "failure", "short_circuit", "client_error"]
FallbackReason = Literal["open", "full", "connection", "timeout", "status", "schema"]
CacheResult = Literal["hit", "stale", "miss", "error"]
ModelLoad = Literal["loaded", "refused"]
# What became of a callback: all but the first three are refused, for what its signature is.
WebhookOutcome = Literal["accepted", "duplicate", "unknown", "missing", "malformed", "old", "early", "wrong"]
# What became of a decision that the audit trail was to be told of: all but the first are dropped.
Telling = Literal["published", "full", "invalid", "stopped"]
# What became of an attempt to send a mail. `nobody`: its recipient is gone; `left`: the queue could not be told, and
# gives the mail to somebody else.
Attempt = Literal["sent", "nobody", "waiting", "retried", "dead", "left"]
Publication = Literal["confirmed", "failed"]
# `retried`: failed, and is tried again a few times; `waiting`: until something it needs is back; `returned`: neither
# could be arranged, so the broker gives it out again.
Consumption = Literal["done", "duplicate", "retried", "waiting", "dead", "returned"]

REQUEST_DURATION = Histogram(
    "http_server_request_duration_seconds",
    "Time from a request's first byte to its answer's last.",
    ("route", "method", "status"),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
RPC_DURATION = Histogram(
    "rpc_server_call_duration_seconds",
    "Time of one call of a gRPC method.",
    ("rpc_service", "rpc_method", "rpc_response_status_code"),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
INFERENCE_DURATION = Histogram(
    "ai_inference_duration_seconds",
    "Time of one model call.",
    ("model", "service"),
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
BREAKER_STATE = Gauge("circuit_breaker_state", "0 closed, 1 half-open, 2 open.", ("edge",))
BREAKER_TRANSITIONS = Counter("circuit_breaker_transitions", "State changes of a breaker.", ("edge", "from", "to"))
EDGE_REQUESTS = Counter("edge_requests", "Calls over an edge by how they ended.", ("edge", "outcome"))
EDGE_DURATION = Histogram(
    "edge_request_duration_seconds",
    "Time of a call over an edge, short circuits left out.",
    ("edge",),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
EDGE_RETRIES = Counter("edge_retries", "Calls over an edge that were tried once more.", ("edge",))
FALLBACK = Counter("fallback", "Answers given without the provider of an edge.", ("edge", "reason"))
CACHE_REQUESTS = Counter("cache_requests", "Look-ups in the cache by result.", ("route", "result"))
MODEL_LOADS = Counter("model_loads", "Models taken into service or refused as corrupt.", ("result",))
RETRAINING_ASKED = Counter("model_retraining_asked", "Times that a new training was asked for.")
MODEL_INFO = Gauge("model_info", "1 for the version that serves.", ("version",))
GEN_AI_TOKENS = Histogram(
    "gen_ai_client_token_usage",
    "Tokens of one exchange with a language model, by OpenTelemetry's GenAI conventions.",
    ("gen_ai_request_model", "gen_ai_token_type"),
    buckets=(1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144),
)
GEN_AI_FIRST_CHUNK = Histogram(
    "gen_ai_client_operation_time_to_first_chunk_seconds",
    "Time until a language model's first piece of text.",
    ("gen_ai_request_model",),
    buckets=(0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24),
)
GEN_AI_COST = Counter("gen_ai_cost_usd", "List price of a language model's tokens.", ("gen_ai_request_model",))
PUBLISHED = Counter("queue_published", "Messages given to the broker.", ("event", "result"))
CONSUMED = Counter("queue_consumed", "Messages taken from a queue by what became of them.", ("queue", "outcome"))
HANDLING_DURATION = Histogram(
    "queue_handling_duration_seconds",
    "Time that one message took its consumer.",
    ("queue",),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
MESSAGE_AGE = Histogram(
    "queue_message_age_seconds",
    "Time from when a message's event happened until it was handled.",
    ("queue",),
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800),
)
QUEUE_MESSAGES = Gauge("queue_messages", "Messages that wait in a queue.", ("queue",))
RATE_LIMITED = Counter("rate_limited", "Calls refused because their caller had too many.", ("route", "tier"))
SAGAS = Counter("saga", "Sagas of documents by how they came out; those compensating come out once more.", ("outcome",))
SAGA_DOCUMENTS = Gauge("saga_documents", "Documents by what became of them so far.", ("state",))
SAGA_STUCK = Gauge("saga_stuck", "Documents with an unfinished saga that has not moved for minutes.")
DECISIONS = Counter("decisions", "Decisions of models for the audit trail, by what became of them.", ("outcome",))
AUDIT_ENTRIES = Counter("audit_entries", "Decisions that reached the audit trail, by result.", ("outcome",))
AUDIT_WRONG_ENTRIES = Gauge("audit_wrong_entries", "Entries of the audit trail that fail the last verification.")
TASKS = Counter("ai_tasks", "Tasks for a language model by what became of them.", ("outcome",))
WEBHOOKS = Counter("webhooks", "Callbacks that came, by what became of them.", ("outcome",))
NOTIFICATIONS = Counter("notifications", "Mails to be sent, by what became of the attempt.", ("outcome",))
MAILS = Counter("mails", "Mails that came to the sink; those that came again are kept once.", ("outcome",))
MODERATIONS = Counter("moderations", "Contents that were checked, by verdict and who gave it.", ("verdict", "source"))
REVIEWS_WAITING = Gauge("reviews_waiting", "Contents that are held until a person has looked at them.")
MALFORMED = Counter("requests_malformed", "What came over a connection and was no request.")
# https://opentelemetry.io/docs/specs/semconv/database/database-metrics/
POOL_TIMEOUTS = Counter("db_client_connection_timeouts", "Requests that got no connection to the database in time.")
SPANS_LOST = Counter("spans_lost", "Spans that could not be given to the collector.")
TOKENS_REFUSED = Counter("tokens_refused", "Access tokens that were not accepted.", ("reason",))

SPAN_GET_RECOMMENDATIONS = "get-recommendations"
SPAN_FETCH_FEATURES = "fetch-features"
SPAN_MODEL_PREDICT = "model-predict"
SPAN_SEARCH_ITEMS = "search-items"
SPAN_EMBED_TEXT = "embed-text"
SPAN_FIND_NEAREST = "find-nearest"
SPAN_MATCH_WORDS = "match-words"

LOG_REQUEST = "request"
LOG_UNHANDLED = "unhandled_error"
LOG_STARTED = "started"
LOG_STOPPING = "stopping"
LOG_FALLBACK = "fallback_served"
LOG_BREAKER = "breaker_transition"
LOG_EDGE_FAILURE = "edge_failure"
LOG_DEAF = "client_does_not_read"
LOG_CACHE_DOWN = "cache_unavailable"
LOG_MODEL = "model"
LOG_INDEX_BEHIND = "index_behind"
LOG_TASK = "task"
LOG_NOTIFICATION = "notification"
LOG_MAIL = "mail"
LOG_WEBHOOK_REFUSED = "webhook_refused"
LOG_RULED = "review_ruled"
LOG_SAGA = "saga"
LOG_SAGA_FAILED = "saga_step_failed"
LOG_SAGA_WAITS = "saga_waits"
LOG_DECISION = "decision_not_told"
LOG_TRAIL_WRONG = "audit_trail_wrong"
LOG_TRAIL_HEAD = "audit_trail_head"
LOG_TRAIL_UNREAD = "audit_trail_unread"
LOG_PUBLISHED = "message_published"
LOG_CONSUMED = "message_consumed"
LOG_BROKER = "broker"
LOG_OUTBOX_WAITS = "outbox_waits"

BREAKER_CHANGES = (("closed", "open"), ("open", "half-open"), ("half-open", "closed"), ("half-open", "open"))


@cache
def series(metric: Metric, *labels: str) -> Metric:
    """As `metric.labels(...)`, for the hot path: to look one up there takes as long as to count."""
    return metric.labels(*labels)


def announce_edge(edge: str, *, falls_back: bool) -> None:
    """Makes the series of `edge` ("api-gateway->user-svc") exist at 0."""
    BREAKER_STATE.labels(edge)
    EDGE_DURATION.labels(edge)
    EDGE_RETRIES.labels(edge)
    for before, after in BREAKER_CHANGES:
        BREAKER_TRANSITIONS.labels(edge, before, after)
    for outcome in get_args(Outcome):
        EDGE_REQUESTS.labels(edge, outcome)
    if falls_back:
        for reason in get_args(FallbackReason):
            FALLBACK.labels(edge, reason)


def announce_cache(route: str) -> None:
    for result in get_args(CacheResult):
        CACHE_REQUESTS.labels(route, result)


def announce_limit(route: str) -> None:
    for tier in ("free", "pro"):
        RATE_LIMITED.labels(route, tier)


def announce_route(route: str, method: str) -> None:
    for status in ("200", "500"):
        REQUEST_DURATION.labels(route, method, status)


def announce_published(event: str) -> None:
    for result in get_args(Publication):
        PUBLISHED.labels(event, result)


def announce_consumed(queue: str) -> None:
    HANDLING_DURATION.labels(queue)
    MESSAGE_AGE.labels(queue)
    for outcome in get_args(Consumption):
        CONSUMED.labels(queue, outcome)


def announce_model() -> None:
    for result in get_args(ModelLoad):
        MODEL_LOADS.labels(result)


def announce_sagas(states: Iterable[str]) -> None:
    for state in states:
        SAGAS.labels(state)
        SAGA_DOCUMENTS.labels(state)


def announce_decisions() -> None:
    for outcome in get_args(Telling):
        DECISIONS.labels(outcome)


def announce_audit() -> None:
    for outcome in ("appended", "duplicate", "conflict"):
        AUDIT_ENTRIES.labels(outcome)


def announce_webhooks() -> None:
    for outcome in get_args(WebhookOutcome):
        WEBHOOKS.labels(outcome)


def announce_tasks() -> None:
    for outcome in ("succeeded", "failed", "untold", "refused"):
        TASKS.labels(outcome)


def announce_notifications(queues: Iterable[str]) -> None:
    for outcome in get_args(Attempt):
        NOTIFICATIONS.labels(outcome)
    for queue in queues:
        QUEUE_MESSAGES.labels(queue)


def announce_mails() -> None:
    for outcome in ("kept", "repeated"):
        MAILS.labels(outcome)


def announce_moderations() -> None:
    for verdict in ("allowed", "refused", "held"):
        MODERATIONS.labels(verdict, "model")
    MODERATIONS.labels("held", "nobody")


def announce_language_model(model: str) -> None:
    GEN_AI_FIRST_CHUNK.labels(model)
    GEN_AI_COST.labels(model)
    for kind in ("input", "output"):
        GEN_AI_TOKENS.labels(model, kind)
