"""The flight recorder: everything that happens in a call, redacted, in one file; its summary."""
