"""llm-emulator: the Anthropic Messages API without a model behind it, the same answer for the same question."""
