"""What moderation-svc relies on in the language model, said by its own client code."""

from __future__ import annotations

import messages
from pact import match

from system.kit.forms import Filler, FormSettings
from system.moderation.judgement import INSTRUCTIONS, Judge, Judgement

CONSUMER = "moderation-svc"
PROVIDER = "llm-emulator"


async def test_a_judgement_is_a_form_that_is_filled_in(pact) -> None:
    text = '{"text": "Boots keep feet dry."}'
    wanted = messages.request(INSTRUCTIONS, text, Judgement.__doc__ or "", Judgement.model_json_schema())
    filled = {
        "harmful": match.bool(False),
        "confidence": match.number(0.9),
        "reason": match.regex("Nothing in it is harmful.", regex=r"^[\s\S]{1,500}$"),
    }
    messages.form(pact, "a judgement", wanted, filled | {"categories": []})
    with pact.serve() as server:
        url = str(server.url).rstrip("/")
        settings = FormSettings(port=0, anthropic_base_url=url, anthropic_api_key=messages.KEY)
        filler = Filler("moderation-svc->llm-emulator", settings, falls_back=True)
        judgement = await Judge(filler).judge("Boots keep feet dry.")
        await filler.close()
    assert (judgement.harmful, judgement.confidence) == (False, 0.9)
