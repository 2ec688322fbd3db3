"""One call: the conversation between caller and agent, what each of them hears, and its watchdogs."""
