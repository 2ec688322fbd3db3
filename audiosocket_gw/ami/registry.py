"""Maps a UUID to the caller's channel in Asterisk, not to that of the channel driver.

The application of a channel names the UUID; Asterisk reports it in `Newexten` events and in the rows of
`CoreShowChannels`. Measured on Asterisk 22:

===========================  ================  ========================================  ====================
dialplan                     Newexten          its AppData                               CoreShowChannels
===========================  ================  ========================================  ====================
AudioSocket(U,H)             AudioSocket       ``U,H``                                   the same
TryExec(AudioSocket(U,H))    TryExec           ``AudioSocket(U,H)``                      AudioSocket, ``U,H``
Dial(AudioSocket/H/U/c(..))  Dial              ``AudioSocket/H/U/c(..)``, and options    the same
===========================  ================  ========================================  ====================

The result is a hint. A channel can be bridged away, or a Local channel optimised out, without an event;
before acting on a channel, ask Asterisk whether it still names the UUID.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Self
from uuid import UUID

from audiosocket_gw.ami.encoding import shown, unescaped

Headers = Mapping[str, str]
"""The headers of an event, a row of a list, or a response."""

MAX_CALLS = 4_096
"""Other users of AudioSocket on the PBX are seen too; beyond this the oldest entry is dropped."""

UUID_PATTERN = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
"""In upper or lower case: Asterisk keeps that of the dialplan."""

_FIRST_ARGUMENT = re.compile(rf"\s*({UUID_PATTERN})\b", re.IGNORECASE)
_IN_DIAL_OR_EXEC = re.compile(rf"\bAudioSocket(?:\(\s*|/[^/,&]*/)({UUID_PATTERN})\b", re.IGNORECASE)
_CHANNEL_NAME = re.compile(rf"AudioSocket/.*-({UUID_PATTERN})", re.IGNORECASE)

_CALLING = frozenset({"Dial", "Exec", "TryExec", "ExecIf"})
"""The applications that run AudioSocket for the channel; in others the name has no meaning."""

_NOT_DIALLED = frozenset({"s", "i", "t", "T", "h", "o", "a", "e"})
"""Special extensions, which aren't dialled: start, invalid, time-out and so on."""


_USED = (b"Event: Newexten", b"Event: Rename", b"Event: Hangup")


@dataclass(frozen=True, slots=True)
class Channel:
    """A caller's channel, as last reported by Asterisk."""

    name: str
    uniqueid: str
    linkedid: str
    caller_number: str
    caller_name: str
    dialled_number: str
    context: str
    exten: str

    @classmethod
    def from_headers(cls, headers: Headers) -> Self:
        """Parse a channel from an event or a row.

        The dialled number is ``DNID``, what the telephone or the trunk asked for, independent of the
        dialplan. Without it (a Local channel has none) it is ``Exten``, unless that is a special extension.
        """
        exten = headers.get("Exten", "")
        return cls(
            name=headers.get("Channel", ""),
            uniqueid=headers.get("Uniqueid", ""),
            linkedid=headers.get("Linkedid", ""),
            caller_number=shown(headers.get("CallerIDNum", "")),
            caller_name=shown(unescaped(headers.get("CallerIDName", ""))),
            dialled_number=known(headers.get("DNID", "")) or ("" if exten in _NOT_DIALLED else exten),
            context=headers.get("Context", ""),
            exten=exten,
        )


def known(value: str) -> str:
    """Return the value, or an empty text for Asterisk's placeholder."""
    return "" if value in {"<unknown>", "(null)"} else value


def uuids_named_by(application: str, data: str) -> tuple[UUID, ...]:
    """Return the UUIDs of the AudioSocket calls that a channel makes by executing ``application(data)``."""
    if application == "AudioSocket":
        found = _FIRST_ARGUMENT.match(data)
        return (UUID(found[1]),) if found else ()
    if application == "Dial":  # what it dials is its first argument; others may have what a caller chose
        data = data.partition(",")[0]
    if application in _CALLING:
        return tuple(UUID(text) for text in _IN_DIAL_OR_EXEC.findall(data))
    return ()


def may_be_useful(event: bytes) -> bool:
    """Return whether `ChannelRegistry.apply` may use an event, by its bytes.

    A PBX without filters sends the events of all its calls, hundreds a second; this costs a tenth of parsing
    them.
    """
    if event.startswith(_USED[0]):
        return b"AudioSocket" in event
    return event.startswith(_USED) or not event.startswith(b"Event: ")


class ChannelRegistry:
    """The caller's channel of each AudioSocket call that Asterisk has reported."""

    def __init__(self, max_calls: int = MAX_CALLS) -> None:
        self._max_calls = max_calls
        self._channels: dict[UUID, Channel] = {}
        self._calls: defaultdict[str, set[UUID]] = defaultdict(set)  # by the channel's uniqueid

    def channel_of(self, uuid: UUID) -> Channel | None:
        """Return the caller's channel, or None if Asterisk has not reported this call."""
        return self._channels.get(uuid)

    def apply(self, event: Headers) -> bool:
        """Apply an event; return whether it was useful."""
        match event.get("Event"):
            case "Newexten":
                named = uuids_named_by(event.get("Application", ""), event.get("AppData", ""))
                return self._executes(event, named)
            case "Rename":
                return self._rename(event.get("Uniqueid", ""), event.get("Newname", ""))
            case "Hangup":
                return self._hang_up(event.get("Uniqueid", ""))
            case _:
                return False

    def add(self, rows: Iterable[Headers]) -> None:
        """Apply all rows of a `CoreShowChannels`.

        If the channel driver's channel is in a bridge with one other, that one is the caller's, whatever it
        executes: it dialled a Local channel that was optimised out, or it is in a queue.
        """
        listed = list(rows)
        for row in listed:
            self._executes(row, uuids_named_by(row.get("Application", ""), row.get("ApplicationData", "")))
        for uuid, row in _bridged_callers(listed):
            self._enter(uuid, Channel.from_headers(row))

    def forget(self, uuid: UUID) -> None:
        """Drop a call that is over."""
        channel = self._channels.pop(uuid, None)
        if channel is not None:
            calls = self._calls[channel.uniqueid]
            calls.discard(uuid)
            if not calls:
                del self._calls[channel.uniqueid]

    def clear(self) -> None:
        """Drop all calls."""
        self._channels.clear()
        self._calls.clear()

    def _executes(self, headers: Headers, named: tuple[UUID, ...]) -> bool:
        channel = Channel.from_headers(headers)
        if not (named and channel.uniqueid):
            return False
        for earlier in self._calls.get(channel.uniqueid, set()).difference(named):
            self.forget(earlier)
        for uuid in named:
            self._enter(uuid, channel)
        return True

    def _enter(self, uuid: UUID, channel: Channel) -> None:
        present = self._channels.get(uuid)
        if present is not None and (present.uniqueid, present.name) == (channel.uniqueid, channel.name):
            # A Redirect reports the current application again, under the new extension.
            return
        self.forget(uuid)
        if len(self._channels) >= self._max_calls:
            self.forget(next(iter(self._channels)))
        self._channels[uuid] = channel
        self._calls[channel.uniqueid].add(uuid)

    def _rename(self, uniqueid: str, name: str) -> bool:
        calls = self._calls.get(uniqueid, set())
        for uuid in calls:
            self._channels[uuid] = replace(self._channels[uuid], name=name)
        return bool(calls)

    def _hang_up(self, uniqueid: str) -> bool:
        calls = tuple(self._calls.get(uniqueid, ()))
        for uuid in calls:
            self.forget(uuid)
        return bool(calls)


def _bridged_callers(rows: list[Headers]) -> Iterator[tuple[UUID, Headers]]:
    bridges: defaultdict[str, list[Headers]] = defaultdict(list)
    for row in rows:
        if bridge := row.get("BridgeId"):
            bridges[bridge].append(row)
    for members in bridges.values():
        for row in members:
            found = _CHANNEL_NAME.fullmatch(row.get("Channel", ""))
            others = [member for member in members if member is not row]
            if found and len(others) == 1 and others[0].get("Uniqueid"):
                yield UUID(found[1]), others[0]
