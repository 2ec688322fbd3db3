"""Put an ElevenLabs agent on an Asterisk PBX: AudioSocket in, WebSocket out, one process."""

__version__ = "0.1.0"

USER_AGENT = f"audiosocket-gw/{__version__}"
"""How the gateway names itself to ElevenLabs."""
