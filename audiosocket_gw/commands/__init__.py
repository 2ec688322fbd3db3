"""The command line (`cli`): one module a command, but the demonstration's is in testing/."""
