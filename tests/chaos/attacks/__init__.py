"""The attacks, by the door at which they come in. Importing this fills the table."""

from tests.chaos.attacks import agent, callers, files, frames, log, pbx, rest, strangers, tools

__all__ = ["agent", "callers", "files", "frames", "log", "pbx", "rest", "strangers", "tools"]
