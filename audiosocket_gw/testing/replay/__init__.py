"""Replay: plays a recorded call into a gateway, here or elsewhere, and compares the result."""
