"""What an operator is told when Asterisk sends another thing than its label says: what to change."""

from __future__ import annotations

import re
from uuid import UUID

from audiosocket_gw.ami.call_control import CallerData
from audiosocket_gw.ami.dialplan import DialplanLine
from audiosocket_gw.audio import AudioFormat


def passthrough_warning(uuid: UUID, caller: CallerData | None, heard: AudioFormat | None) -> str:
    """Say what is wrong and how to mend it.

    ``caller`` is what Asterisk said of the call, if anything; ``heard`` is the codec that is decoded, or None
    when it is none that can be.
    """
    codec = (caller.codec if caller else "") or (str(heard) if heard else "not G.711")
    effect = "the gateway decodes it" if heard else "the agent hears silence"
    if caller is not None and caller.line is not None:
        line = caller.line
        change = f"the line at {line.place} from {_shown(line)} to {_shown(line.with_codec(uuid, 'slin'))}"
    else:
        change = "the line from Dial(AudioSocket/HOST:PORT/UUID) to Dial(AudioSocket/HOST:PORT/UUID/c(slin))"
    return (
        f"Asterisk sends the telephone's codec ({codec}) under the label of linear audio; {effect}. "
        f"Change {change}"
    )


def mislabelled_rate_warning(heard: AudioFormat) -> str:
    """Say that linear audio of this rate has the label of 8 kHz, and who does that."""
    return (
        f"Asterisk sends audio of {heard.rate} Hz labelled as 8000 Hz, as releases before 20.17, 21.12, "
        "22.7 and 23.1 do; the agent hears it right, and the caller hears the agent at 8000 Hz. "
        "Upgrade Asterisk, or name c(slin) in Dial(AudioSocket/...)"
    )


def correction(before: AudioFormat | None, heard: AudioFormat | None) -> str:
    """Say that the caller's audio is something else than it was."""
    return (
        f"the caller's audio is {heard or 'a codec that is not decoded'} now, "
        f"not {before or 'a codec that is not decoded'} as before"
    )


_HARMLESS = re.compile(r"\d{0,4}(?:,[A-Za-z]*)?")
"""A timeout and options without arguments."""


def _shown(line: DialplanLine) -> str:
    """Return the line; options with arguments, in which the caller's number and name may stand, as dots."""
    target, comma, options = line.data.partition(",")
    if not comma or _HARMLESS.fullmatch(options):
        return str(line)
    return f"{line.application}({target},...)"
