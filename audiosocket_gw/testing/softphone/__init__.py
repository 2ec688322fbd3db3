"""The softphone: a simulated caller on Asterisk's side of AudioSocket, as strict as Asterisk 22.

`place_call` plays a recording; `Softphone` is for a conversation that reacts. Both return a `CallRecord`.
"""

from audiosocket_gw.audio.level import SPEECH_DBFS, is_speech, level_dbfs
from audiosocket_gw.testing.softphone.asterisk_peer import AsteriskPeer, Ending
from audiosocket_gw.testing.softphone.record import CallRecord
from audiosocket_gw.testing.softphone.softphone import KeyPress, Softphone, place_call
from audiosocket_gw.testing.softphone.wav import read_wav, write_wav

__all__ = [
    "SPEECH_DBFS",
    "AsteriskPeer",
    "CallRecord",
    "Ending",
    "KeyPress",
    "Softphone",
    "is_speech",
    "level_dbfs",
    "place_call",
    "read_wav",
    "write_wav",
]
