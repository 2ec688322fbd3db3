"""What all calls of a gateway share."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from audiosocket_gw import events
from audiosocket_gw.ami.pbx_pool import PbxPool
from audiosocket_gw.audio import TELEPHONE_RATE
from audiosocket_gw.audio.hold_audio import HoldAudio, HoldAudioFile
from audiosocket_gw.call.settings import CallSettings
from audiosocket_gw.call.setups import Setups
from audiosocket_gw.control.actions import Services
from audiosocket_gw.elevenlabs.agent import AgentLocator
from audiosocket_gw.runtime.load import Load
from audiosocket_gw.runtime.loop_budget import LoopBudget
from audiosocket_gw.runtime.ticker import Ticker
from audiosocket_gw.tap import OpenTap


@dataclass(frozen=True, slots=True)
class CallContext:
    """What all calls share."""

    settings: CallSettings
    locator: AgentLocator
    ssl_context: ssl.SSLContext
    ticker: Ticker
    load: Load
    setups: Setups
    agent_budget: LoopBudget
    hold_audio_file: HoldAudioFile | None
    services: Services
    pbxs: PbxPool
    observe: events.Observer
    taps: tuple[OpenTap, ...] = ()

    def hold_audio(self) -> HoldAudio | None:
        """Return the hold audio of one call, if it is configured."""
        if self.hold_audio_file is None:
            return None
        return HoldAudio(self.hold_audio_file, self.settings.hold_audio_mode, TELEPHONE_RATE)
