"""What both sides of a conversation sent, for tests."""

from __future__ import annotations

from audiosocket_gw.testing.simulator.client_messages import ToolResult
from audiosocket_gw.testing.simulator.server_messages import Message


class ConversationLog:
    """The messages and the audio of one conversation. All times are loop times, in seconds."""

    def __init__(self, *, record: bool) -> None:
        """``record``: keep audio and messages; otherwise they are discarded."""
        self._record = record
        self.initiation: Message | None = None
        """The ``conversation_initiation_client_data`` message, as it came."""
        self.received_audio = bytearray()
        self.received_audio_sizes: list[tuple[float, int]] = []
        self.received: list[tuple[float, Message]] = []
        """All JSON messages of the client except audio."""
        self.sent_audio = bytearray()
        self.sent_audio_sizes: list[tuple[float, int]] = []
        self.sent: list[tuple[float, Message]] = []
        """All messages to the client except the audio of `SimulatedAgent.send_audio`."""
        self.tool_results: list[ToolResult] = []
        self.violations: list[str] = []
        """The client's errors, in words."""

    def add_received(self, message: Message, at: float) -> None:
        if self._record:
            self.received.append((at, message))

    def add_received_audio(self, audio: bytes, at: float) -> None:
        if self._record:
            self.received_audio += audio
            self.received_audio_sizes.append((at, len(audio)))

    def add_sent(self, message: Message, at: float) -> None:
        if self._record:
            self.sent.append((at, message))

    def add_sent_audio(self, audio: bytes, at: float) -> None:
        if self._record:
            self.sent_audio += audio
            self.sent_audio_sizes.append((at, len(audio)))
