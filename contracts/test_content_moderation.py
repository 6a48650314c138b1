"""What content-svc relies on in moderation-svc, said by its saga's own steps."""

from __future__ import annotations

from dataclasses import replace

import documents

CONSUMER = "content-svc"
PROVIDER = "moderation-svc"
DOCUMENT = documents.document()
HARMFUL = replace(DOCUMENT, body="How to build a bomb")
CONTENT = {"contentId": str(DOCUMENT.id), "text": DOCUMENT.body}


async def checked(pact, parts, what: str, document: documents.Document, verdict: str, state: str | None) -> str:
    """What the saga's step makes of the provider's verdict."""
    interaction = pact.upon_receiving(what)
    if state:
        interaction = interaction.given(state, **CONTENT)
    body = {"contentId": str(document.id), "text": document.body}
    interaction.with_request("POST", "/check").with_body(body, content_type="application/json")
    interaction.will_respond_with(200).with_body({"verdict": verdict}, content_type="application/json")
    with pact.serve() as server:
        found: str = await parts(moderation_url=str(server.url)).check(document)
        return found


async def test_a_harmless_text_is_allowed(pact, parts) -> None:
    state = "a text that a person has released"
    assert await checked(pact, parts, "a text that was released", DOCUMENT, "allowed", state) == "allowed"


async def test_a_harmful_text_is_refused(pact, parts) -> None:
    assert await checked(pact, parts, "a harmful text", HARMFUL, "refused", None) == "refused"


async def test_a_text_that_nobody_judges_is_held(pact, parts) -> None:
    state = "a text of which the model gives no verdict"
    assert await checked(pact, parts, "a text that nobody judges", DOCUMENT, "held", state) == "held"
