"""One call: the conversation between caller and agent, and what each of them hears."""
