"""Reports the format that Asterisk sends, and warns if its label is wrong or it can't be decoded."""

from __future__ import annotations

import logging
from collections.abc import Callable
from uuid import UUID

from audiosocket_gw.ami.call_control import CallerData
from audiosocket_gw.audio import AudioFormat
from audiosocket_gw.call.caller_audio import CallerAudio
from audiosocket_gw.call.codec_warning import correction, mislabelled_rate_warning, passthrough_warning
from audiosocket_gw.events import CallerUndecodable, Observer
from audiosocket_gw.log.text import Sentence
from audiosocket_gw.tap import Tap

logger = logging.getLogger("audiosocket_gw.call")


class CallerFormatReport:
    """Reports to the tap, the log and the observers of one call.

    The log gets one warning that says what to change, once the format is certain and Asterisk has answered
    for the caller data; then each change of the format. The observers get a `CallerUndecodable`, once.
    """

    __slots__ = (
        "_audio",
        "_caller",
        "_clock",
        "_emit",
        "_is_known",
        "_is_reported",
        "_reported",
        "_tap",
        "_uuid",
        "_was_undecodable",
    )

    def __init__(
        self, uuid: UUID, audio: CallerAudio, tap: Tap | None, emit: Observer, clock: Callable[[], float]
    ) -> None:
        self._uuid = uuid
        self._audio = audio
        self._tap = tap
        self._emit = emit
        self._clock = clock
        self._was_undecodable = False
        self._caller: CallerData | None = None
        self._is_known = False
        self._is_reported = False
        self._reported: AudioFormat | None = None

    def set_caller(self, caller: CallerData | None) -> None:
        """Set the caller data, or None if Asterisk didn't answer."""
        self._caller = caller
        self._is_known = True
        if caller is not None and caller.codec and self._audio.set_codec(caller.codec):
            self.report()
        else:
            self._warn()

    def report(self) -> None:
        """Report the format; call it after a change."""
        heard = self._audio.heard_format
        if self._tap is not None:
            self._tap.on_caller_format(heard)
        logger.debug("call %s: Asterisk sends %s", self._uuid, heard or "a codec that can't be decoded")
        self._warn()

    def _warn(self) -> None:
        if self._is_known and self._audio.codec_is_certain:
            before, self._reported = self._reported, self._audio.heard_format
            warning = self._advice() if not self._is_reported else self._correction(before)
            if warning is not None:
                self._is_reported = True
                logger.warning("call %s: %s", self._uuid, Sentence(warning))
            if self._reported is None and not self._was_undecodable:
                self._was_undecodable = True
                codec = self._caller.codec if self._caller is not None else ""
                self._emit(CallerUndecodable(self._uuid, self._clock(), codec))

    def _correction(self, before: AudioFormat | None) -> str | None:
        return correction(before, self._reported) if self._reported != before else None

    def _advice(self) -> str | None:
        audio = self._audio
        heard = audio.heard_format
        if audio.codec_passes_through:
            return passthrough_warning(self._uuid, self._caller, heard)
        if heard is not None and audio.rate_is_mislabelled:
            return mislabelled_rate_warning(heard)
        return None
