"""The log of the process: made where it is logged, written by a thread, so that no call waits for it."""
