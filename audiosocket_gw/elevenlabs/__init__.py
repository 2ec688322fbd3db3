"""The link to an ElevenLabs agent: where it is, what is said on the wire, and the connection itself."""
