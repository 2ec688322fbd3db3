"""The caller's DTMF digits: each key acts by itself, or is part of a number for the agent."""

from __future__ import annotations

import asyncio

from audiosocket_gw.control.controlled_call import ControlledCall
from audiosocket_gw.control.dtmf_number import DtmfCollector
from audiosocket_gw.control.handover import Handover
from audiosocket_gw.control.settings import ControlSettings
from audiosocket_gw.elevenlabs import client_messages


class DtmfInput:
    """Acts on the digits of one call, or collects them until ``#`` or a pause ends the number."""

    def __init__(
        self, call: ControlledCall, handover: Handover, settings: ControlSettings, tasks: asyncio.TaskGroup
    ) -> None:
        self._call = call
        self._handover = handover
        self._settings = settings
        self._tasks = tasks
        self._collector = DtmfCollector()
        self._pause: asyncio.TimerHandle | None = None
        self._closed = False

    def receive(self, digit: str) -> None:
        """Act on a digit, or collect it for the agent."""
        if self._closed:
            return
        action = self._settings.dtmf_actions.get(digit)
        if action is not None:
            self._tasks.create_task(self._handover.act_on_key(action))
            return
        if self._pause is not None:
            self._pause.cancel()
        number = self._collector.add(digit)
        if number is not None:
            self._send(number)
        else:
            self._pause = asyncio.get_running_loop().call_later(self._settings.dtmf_timeout, self._end_number)

    def close(self) -> None:
        """Ignore further digits."""
        self._closed = True
        if self._pause is not None:
            self._pause.cancel()

    def _end_number(self) -> None:
        number = self._collector.end()
        if number is not None:
            self._send(number)

    def _send(self, number: str) -> None:
        note = f"(The caller pressed the keys: {' '.join(number)})"
        self._call.send_to_agent(client_messages.user_message(note))
