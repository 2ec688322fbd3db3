"""What is wrong now with the gateway and its calls, for ``/load`` and ``/readyz``."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.ledger.ledger import Ledger
from audiosocket_gw.ledger.settings import CallerNumbers
from audiosocket_gw.ledger.shown import iso, shown_text
from audiosocket_gw.ledger.wrong_now import WINDOW_S, Fault, Refused, Seen, wrong_now
from audiosocket_gw.server.listener import AudioSocketServer
from audiosocket_gw.server.refusals import Refusal

KEPT_S = 1.0
"""How old an answer may be: no one who asks often makes the gateway look often."""

OVER_S = 60.0
"""A fault that was last seen so long ago may be over: its line says when that was."""

_DAY_S = 43_200.0

_STRANGERS = frozenset({Refusal.PEER, Refusal.HANDSHAKE})

_REASONS = {
    Refusal.FULL: EndReason.GATEWAY_FULL,
    Refusal.OVERLOADED: EndReason.OVERLOADED,
    Refusal.PEER: EndReason.PEER_LIMIT,
    Refusal.HANDSHAKE: EndReason.CALLER_PROTOCOL,
}
"""Whose advice holds. That calls are refused while the gateway stops is no fault."""


class Faults:
    """Looks for faults when it is asked, once a second at most."""

    def __init__(self, server: AudioSocketServer, ledger: Ledger) -> None:
        self._server = server
        self._ledger = ledger
        self._found: tuple[Fault, ...] = ()
        self._since: dict[str, float] = {}  # the first calls with a fault that lasts are forgotten
        self._looked_at = -KEPT_S

    def now(self) -> tuple[Fault, ...]:
        """Return the faults, the worst first."""
        if time.monotonic() - self._looked_at >= KEPT_S:
            known = {} if time.monotonic() - self._looked_at > WINDOW_S else self._since
            self._found = tuple(
                replace(fault, since=min(fault.since, known.get(fault.id, fault.since)))
                for fault in wrong_now(self._seen())
            )
            self._since = {fault.id: fault.since for fault in self._found}
            self._looked_at = time.monotonic()
        return self._found

    def _seen(self) -> Seen:
        ledger = self._ledger
        why = {
            Refusal.FULL: f"MAX_CALLS={self._server.max_calls} is reached",
            Refusal.OVERLOADED: "the gateway is overloaded",
            Refusal.PEER: "their address isn't in ALLOWED_PEERS, or had its share",
            Refusal.HANDSHAKE: "no UUID came, or one that isn't valid or is in use",
        }
        now, clock_now = time.time(), asyncio.get_running_loop().time()
        clock_began = now - clock_now
        return Seen(
            live=[(record, ledger.age_ms(record.uuid) or 0) for record in ledger.live()],
            ended=ledger.recent(),
            refused=[
                Refused(
                    row.count,
                    clock_began + row.since,
                    clock_began + row.last,
                    _REASONS[refusal],
                    why[refusal],
                    by_strangers=refusal in _STRANGERS,
                )
                for refusal, row in self._server.refusals.going_on(clock_now)
                if refusal in _REASONS
            ],
            managers=self._server.context.pbxs.lost_at,
            now=now,
        )


def show(fault: Fault, numbers: CallerNumbers) -> dict[str, Any]:
    """Return a fault as JSON."""
    what, why = shown_text(fault.what, numbers), shown_text(fault.why, numbers)
    return {
        "id": shown_text(fault.id, numbers),
        "what": what,
        "why": why,
        "since": iso(fault.since),
        "last": iso(fault.last),
        "to_do": fault.to_do,
        "text": f"{what} {_when(fault, time.time())}{': ' if why else ''}{why.rstrip('.')}. {fault.to_do}",
    }


def line(fault: Fault) -> str:
    """Return a fault in a line, for those who may be strangers."""
    return str(show(fault, CallerNumbers.MASKED)["text"])


def _when(fault: Fault, now: float) -> str:
    form = "%H:%M:%S" if now - fault.since < _DAY_S else "%Y-%m-%d %H:%M:%S"
    since = datetime.fromtimestamp(fault.since, UTC).strftime(form)
    if now - fault.last < OVER_S:
        return f"since {since} UTC"
    return f"from {since} to {datetime.fromtimestamp(fault.last, UTC):%H:%M:%S} UTC"
