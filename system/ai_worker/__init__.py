"""ai-worker: work for a language model that nobody waits for, told by a callback."""
