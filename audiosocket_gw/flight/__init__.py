"""The flight recorder: everything that happened in a call in one file, redacted, and its summary."""
