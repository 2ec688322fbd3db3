"""ElevenLabs: where the agent is, its messages, and the WebSocket connection to it."""
