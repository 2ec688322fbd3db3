"""The wire protocol between Asterisk and the gateway."""
