"""Warnings for the operator when Asterisk mislabels audio: what to change."""

from __future__ import annotations

import re
from uuid import UUID

from audiosocket_gw.ami.call_control import CallerData
from audiosocket_gw.ami.dialplan import DialplanLine
from audiosocket_gw.audio import AudioFormat


def passthrough_warning(uuid: UUID, caller: CallerData | None, heard: AudioFormat | None) -> str:
    """Describe the fault and its remedy.

    ``caller`` is the caller data, if any; ``heard`` is the codec that is decoded, or None if it can't be
    decoded.
    """
    codec = (caller.codec if caller else "") or (str(heard) if heard else "not G.711")
    effect = "the gateway decodes it" if heard else "the agent gets silence"
    if caller is not None and caller.line is not None:
        line = caller.line
        change = f"the line at {line.place} from {_shown(line)} to {_shown(line.with_codec(uuid, 'slin'))}"
    else:
        change = "the line from Dial(AudioSocket/HOST:PORT/UUID) to Dial(AudioSocket/HOST:PORT/UUID/c(slin))"
    return (
        f"Asterisk sends the telephone's codec ({codec}) labelled as linear audio; {effect}. Change {change}"
    )


def mislabelled_rate_warning(heard: AudioFormat) -> str:
    """Describe linear audio of this rate labelled as 8 kHz, with its cause."""
    return (
        f"Asterisk sends audio of {heard.rate} Hz labelled as 8000 Hz, as releases before 20.17, 21.12, "
        "22.7 and 23.1 do; the agent gets it at the right rate, and the caller hears the agent at 8000 Hz. "
        "Upgrade Asterisk, or name c(slin) in Dial(AudioSocket/...)"
    )


def correction(before: AudioFormat | None, heard: AudioFormat | None) -> str:
    """Describe a change of the caller's format."""
    return (
        f"the caller's audio is {heard or 'a codec that is not decoded'} now, "
        f"not {before or 'a codec that is not decoded'} as before"
    )


_HARMLESS = re.compile(r"\d{0,4}(?:,[A-Za-z]*)?")
"""A timeout and options without arguments."""


def _shown(line: DialplanLine) -> str:
    """Return the line; options with arguments, which may contain the caller's number and name, become
    dots.
    """
    target, comma, options = line.data.partition(",")
    if not comma or _HARMLESS.fullmatch(options):
        return str(line)
    return f"{line.application}({target},...)"
