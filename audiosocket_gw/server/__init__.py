"""The AudioSocket server: it listens, admits or rejects connections, and runs one call on each."""
