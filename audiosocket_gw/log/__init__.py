"""The log of the process: formatted on the event loop, masked, and written by a thread."""
