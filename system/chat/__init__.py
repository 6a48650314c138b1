"""chat-svc: a conversation with a language model that ends well, whatever becomes of the model."""
