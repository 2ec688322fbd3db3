"""Put an ElevenLabs agent on an Asterisk PBX: AudioSocket in, WebSocket out, one process."""

__version__ = "0.1.0"
