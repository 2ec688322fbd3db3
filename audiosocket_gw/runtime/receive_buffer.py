"""One buffer that all connections receive into."""

from __future__ import annotations

RECEIVE_BUFFER = memoryview(bytearray(65_536))
"""Holds what was received until `buffer_updated` returns, and no longer.

asyncio fills the buffer of a BufferedProtocol and calls `buffer_updated` in the same loop step, so that
one is enough for all. For an asyncio.Protocol each receive allocates 256 KiB, which costs a fresh process
much time.
"""
