"""Plays a recorded call again, into a gateway in this process or one that runs elsewhere, and compares."""
