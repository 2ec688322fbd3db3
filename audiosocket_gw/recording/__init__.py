"""Recordings: a stereo WAV and a transcript of each call, written as the call goes."""

from audiosocket_gw.recording.recorder import Recorder
from audiosocket_gw.recording.retention import Limits, Retention

__all__ = ["Limits", "Recorder", "Retention"]
