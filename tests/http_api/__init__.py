"""The HTTP surface, over real sockets."""
