"""What ai-worker relies on in the language model, said by its own client code."""

from __future__ import annotations

import messages
from pact import match

from system.ai_worker.documents import Document
from system.ai_worker.summary import INSTRUCTIONS, Summariser, Summary
from system.kit.forms import Filler, FormSettings

CONSUMER = "ai-worker"
PROVIDER = "llm-emulator"


async def test_a_summary_is_a_form_that_is_filled_in(pact) -> None:
    text = '{"title": "Boots", "text": "Boots keep feet dry."}'
    wanted = messages.request(INSTRUCTIONS, text, Summary.__doc__ or "", Summary.model_json_schema())
    messages.form(pact, "a summary", wanted, {"summary": match.regex("Dry feet.", regex="^[\\s\\S]{1,2000}$")})
    with pact.serve() as server:
        url = str(server.url).rstrip("/")
        settings = FormSettings(port=0, anthropic_base_url=url, anthropic_api_key=messages.KEY)
        filler = Filler("ai-worker->llm-emulator", settings, falls_back=False)
        summary = await Summariser(filler).summarise(Document(title="Boots", text="Boots keep feet dry."))
        await filler.close()
    assert summary == "Dry feet."
