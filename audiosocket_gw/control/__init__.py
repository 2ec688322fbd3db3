"""Call control: the agent's tool calls, transfer and hang-up, DTMF, and what the dialplan is told."""
