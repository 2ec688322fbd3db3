"""The settings of the gateway: one frozen object per room."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

from audiosocket_gw.ami.settings import AmiSettings
from audiosocket_gw.call.settings import CallSettings, HoldAudioSettings
from audiosocket_gw.control.settings import ControlSettings
from audiosocket_gw.elevenlabs.settings import AgentSettings
from audiosocket_gw.flight.settings import FlightSettings
from audiosocket_gw.http_api.settings import HttpSettings
from audiosocket_gw.ledger.settings import LedgerSettings
from audiosocket_gw.metrics.settings import MetricsSettings
from audiosocket_gw.recording.settings import RecordingSettings
from audiosocket_gw.runtime.settings import LoadSettings
from audiosocket_gw.server.settings import ServerSettings
from audiosocket_gw.settings.types import AgentKind
from audiosocket_gw.settings.variables import Settings
from audiosocket_gw.tools.settings import ToolSettings

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

R = TypeVar("R", bound="DataclassInstance")


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """The settings of a gateway, by room.

    ``embedded_agent`` (``AGENT=simulator``): ``agent`` has no address until a simulator has been started.
    ``tls_ca_file`` is trusted in addition to the usual authorities, except by the manager interface.
    """

    server: ServerSettings
    call: CallSettings
    agent: AgentSettings
    embedded_agent: bool
    control: ControlSettings
    ami: AmiSettings
    tools: ToolSettings
    hold_audio: HoldAudioSettings
    load: LoadSettings
    recording: RecordingSettings
    flight: FlightSettings
    ledger: LedgerSettings
    http: HttpSettings
    metrics: MetricsSettings
    tls_ca_file: Path | None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Give each room its settings; `conflicts` checks whether they contradict each other."""
        return cls(
            server=_room(ServerSettings, settings),
            call=_room(CallSettings, settings),
            agent=_room(AgentSettings, settings),
            embedded_agent=settings.agent is AgentKind.SIMULATOR,
            control=_room(ControlSettings, settings),
            ami=_room(AmiSettings, settings),
            tools=_room(ToolSettings, settings),
            hold_audio=_room(HoldAudioSettings, settings),
            load=_room(LoadSettings, settings),
            recording=_room(RecordingSettings, settings),
            flight=_room(FlightSettings, settings),
            ledger=_room(LedgerSettings, settings),
            http=_room(HttpSettings, settings),
            metrics=_room(MetricsSettings, settings),
            tls_ca_file=settings.tls_ca_file,
        )

    def conflicts(self) -> Iterator[str]:
        """Return a line for each contradiction between settings that are valid by themselves."""
        agent, ami, control = self.agent, self.ami, self.control
        if not (self.embedded_agent or agent.elevenlabs_agent_id or agent.elevenlabs_agent_url):
            yield (
                "no agent is set: set ELEVENLABS_AGENT_ID (and ELEVENLABS_API_KEY for a private agent), or "
                "ELEVENLABS_AGENT_URL, or AGENT=simulator to try the gateway without an account"
            )
        if (ami.ami_host or ami.ami_hosts) and ami.ami_password is None:
            yield "AMI_HOST is set, AMI_PASSWORD is not: set it to the user's secret in manager.conf"
        if self.call.require_ami_match and not (ami.ami_host or ami.ami_hosts):
            yield (
                "REQUIRE_AMI_MATCH=true: no call could be checked without a manager interface: set AMI_HOST "
                "and AMI_PASSWORD"
            )
        if self.ledger.call_log is not None and self.ledger.call_log == self.ledger.history_db:
            yield (
                f"CALL_LOG={str(self.ledger.call_log)!r} and HISTORY_DB name the same file: give each its own"
            )
        for key, action in control.dtmf_actions.items():
            if action.kind == "transfer" and not control.transfer_policy.allows(action.target):
                yield (
                    f"DTMF_ACTIONS: key {key} transfers to {action.target!r}, which TRANSFER_DESTINATIONS, "
                    "TRANSFER_EXTENSIONS and TRANSFER_CONTEXTS don't allow"
                )


def _room(kind: type[R], settings: Settings) -> R:
    """Return the settings of one room: its fields have the names of the variables."""
    return kind(**{field.name: getattr(settings, field.name) for field in fields(kind)})
