"""Replay: plays a recorded call again, into a gateway here or elsewhere, and compares."""
