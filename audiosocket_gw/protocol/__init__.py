"""The AudioSocket protocol, sans-I/O: encoder and decoder of its frames."""
