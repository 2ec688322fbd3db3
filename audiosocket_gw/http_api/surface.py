"""All that the HTTP surface serves."""

from __future__ import annotations

from collections.abc import Iterator

from audiosocket_gw.http_api import dashboard_files
from audiosocket_gw.http_api.call_pages import CallPages, PageSources
from audiosocket_gw.http_api.calls import CallViews
from audiosocket_gw.http_api.endpoint import Endpoint
from audiosocket_gw.http_api.event_json import EventView
from audiosocket_gw.http_api.event_stream import EventStreams
from audiosocket_gw.http_api.health import Health
from audiosocket_gw.http_api.load import LoadView
from audiosocket_gw.http_api.metrics import MetricsView
from audiosocket_gw.http_api.operator_actions import OperatorActions
from audiosocket_gw.http_api.settings import HttpSettings
from audiosocket_gw.http_api.transcripts import Transcripts
from audiosocket_gw.ledger.ledger import Ledger
from audiosocket_gw.ledger.settings import LedgerSettings
from audiosocket_gw.metrics.metrics import Metrics
from audiosocket_gw.server.listener import AudioSocketServer


def endpoints(
    server: AudioSocketServer,
    ledger: Ledger,
    metrics: Metrics,
    ledger_settings: LedgerSettings,
    http_settings: HttpSettings,
    plan_concurrency: int | None,
    page_sources: PageSources,
) -> Iterator[Endpoint]:
    """Yield the endpoints for the calls of ``server``, which ``ledger`` knows."""
    health = Health(server)
    yield from health.endpoints
    yield from LoadView(server, health, (), plan_concurrency).endpoints
    yield from CallViews(ledger, ledger_settings.caller_numbers).endpoints
    yield from CallPages(ledger, page_sources).endpoints
    view = EventView(ledger_settings.caller_numbers, http_settings.http_transcripts)
    yield from EventStreams(ledger, view).endpoints
    yield from Transcripts(ledger, view).endpoints
    yield from OperatorActions(server.calls).endpoints
    yield from MetricsView(metrics).endpoints
    yield from dashboard_files.endpoints()
