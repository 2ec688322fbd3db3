"""What the agent's tools and DTMF keys may do to a call: tool calls, transfer, hang-up."""
