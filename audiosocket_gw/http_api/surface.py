"""All that the HTTP surface serves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from audiosocket_gw.http_api import dashboard_files
from audiosocket_gw.http_api.call_pages import CallPages, PageSources
from audiosocket_gw.http_api.calls import CallViews
from audiosocket_gw.http_api.endpoint import Endpoint
from audiosocket_gw.http_api.event_json import EventView
from audiosocket_gw.http_api.event_stream import EventStreams
from audiosocket_gw.http_api.faults import Faults
from audiosocket_gw.http_api.health import Health
from audiosocket_gw.http_api.load import LoadView
from audiosocket_gw.http_api.metrics import MetricsView
from audiosocket_gw.http_api.openapi import OPENAPI
from audiosocket_gw.http_api.operator_actions import OperatorActions
from audiosocket_gw.http_api.settings import HttpSettings
from audiosocket_gw.http_api.transcripts import Transcripts
from audiosocket_gw.ledger.archive import Archive
from audiosocket_gw.ledger.ledger import Ledger
from audiosocket_gw.ledger.settings import CallerNumbers
from audiosocket_gw.metrics.metrics import Metrics
from audiosocket_gw.server.listener import AudioSocketServer


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """What the endpoints show and act on."""

    server: AudioSocketServer
    ledger: Ledger
    archive: Archive
    metrics: Metrics
    caller_numbers: CallerNumbers
    settings: HttpSettings
    pages: PageSources
    plan_concurrency: int | None
    off: Sequence[str]


def endpoints(gateway: Surface) -> Iterator[Endpoint]:
    """Yield the endpoints of a gateway."""
    server, numbers = gateway.server, gateway.caller_numbers
    faults = Faults(server, gateway.ledger)
    health = Health(server, faults)
    yield from health.endpoints
    load = LoadView(server, health, faults, numbers, gateway.off, gateway.plan_concurrency)
    yield from load.endpoints
    yield from CallViews(gateway.ledger, gateway.archive.history, numbers).endpoints
    yield from CallPages(gateway.ledger, gateway.archive.history, gateway.pages).endpoints
    view = EventView(numbers, gateway.settings.http_transcripts)
    yield from EventStreams(gateway.ledger, view).endpoints
    yield from Transcripts(gateway.ledger, view).endpoints
    yield from OperatorActions(server.calls).endpoints
    yield from dashboard_files.endpoints()
    yield from MetricsView(gateway.metrics).endpoints
    yield OPENAPI
