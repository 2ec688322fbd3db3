"""One call: the conversation between caller and agent, and everything that decides what each hears."""
