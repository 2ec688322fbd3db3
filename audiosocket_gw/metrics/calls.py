"""The metrics of calls: counted when something happens in one, never per frame.

`CallMetrics.follow` receives each event with the record after it. Series that an alert watches exist from the
start, with 0: Prometheus sees no increase in a series that appears with its first count.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from uuid import UUID

from prometheus_client import CollectorRegistry, Counter, Histogram

from audiosocket_gw import events
from audiosocket_gw.causes import WebSocketClosed
from audiosocket_gw.end_reasons import EndReason, result_of
from audiosocket_gw.ledger.record import CallRecord, ToolOutcome
from audiosocket_gw.metrics.labels import OTHER, CappedLabel, Places

NAMESPACE = "audiosocket_gw"

START_S = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10)
TURN_S = (0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 5, 10)
BARGE_IN_S = (0.02, 0.04, 0.06, 0.1, 0.15, 0.2, 0.3, 0.5, 1)
CALL_S = (5, 15, 30, 60, 120, 300, 600, 1200, 3600)
TOOL_S = (0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 30)
RTT_S = (0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2)
LEAVE_S = (0.25, 0.5, 1, 2, 3, 5, 10, 20, 30)
"""Upper bounds of the buckets, in seconds."""

QUEUE_STATUSES = ("waiting", "admitted", "timed_out")
TOOL_OUTCOMES = (ToolOutcome.OK, ToolOutcome.ERROR)
UNNAMED = "unnamed"
"""A destination without a name in ``TRANSFER_DESTINATIONS``."""

UNDERRUN_S = 2.0
"""A longer pause within a reply is the agent's own, such as for a tool."""

HANG_UP_TOOL = "avr_hangup"


@dataclass(slots=True)
class _Progress:
    """What a call's next event is measured by."""

    heard: bool = False
    """The agent's first audio has been counted."""
    silent: bool = False
    held: bool = False
    """The reply is held: the caller seems to speak."""
    ran_dry_at: float | None = None
    """When the reply that may continue had all been heard."""
    leaves_since: float | None = None
    """When a transfer or hang-up was requested."""


class CallMetrics:
    """The metrics of all calls. ``tools`` returns the names of the tools that there are."""

    def __init__(self, registry: CollectorRegistry, places: Places, tools: Callable[[], Collection[str]]):
        def counter(name: str, help_: str, *labels: str) -> Counter:
            return Counter(name, help_, labels, namespace=NAMESPACE, registry=registry)

        def histogram(name: str, help_: str, bounds: Collection[float], *labels: str) -> Histogram:
            return Histogram(
                name, help_, labels, namespace=NAMESPACE, registry=registry, buckets=tuple(bounds)
            )

        self._places = places
        self._tools = tools
        self._calls: dict[UUID, _Progress] = {}
        self._destination = CappedLabel()
        self._close_code = CappedLabel()
        self._known_agents: set[str] = set()
        self._ended = counter(
            "calls", "Calls that have ended, by result and reason.", "result", "reason", "agent", "pbx"
        )
        self._ends = counter(
            "ends", "The same calls by reason; each reason is there from the start.", "result", "reason"
        )
        self._silent = counter("silent_calls", "Calls whose agent said nothing for too long.", "agent")
        self._late = counter("late_answers", "Answers that came later than LATE_ANSWER_SECONDS.", "agent")
        self._undecodable = counter("undecodable_calls", "Calls whose caller's audio couldn't be decoded.")
        self._turns = counter("turns", "Replies of the agent that the caller began to hear.", "agent")
        self._underruns = counter(
            "underruns", "Gaps within a reply that the caller heard: its audio came too late."
        )
        self._interruptions = counter(
            "interruptions", "Replies that the caller interrupted, by who noticed it first.", "by"
        )
        self._holds = counter("holds", "Replies held by BARGE_IN=local, by what followed.", "outcome")
        self._tool_calls = counter("tool_calls", "Tool calls that were answered.", "tool", "outcome")
        self._transfers = counter("transfers", "Transfers that are over.", "outcome", "destination")
        self._closes = counter("agent_closes", "Calls ended by the agent's WebSocket close, by code.", "code")
        self._queued = counter("agent_queue", "Reports of ElevenLabs' queue.", "status")
        self._conversation = counter(
            "conversation_seconds", "Time that agents were in conversation, counted at the end.", "agent"
        )
        self._heard = counter("heard_seconds", "Agents' audio that callers heard, counted at the end.")
        self._discarded = counter("discarded_seconds", "Agents' audio that interruptions discarded.")
        self._setup = histogram("setup_seconds", "A step of the set-up.", START_S, "step")
        self._first_audio = histogram(
            "first_audio_seconds", "From the start of the call to the agent's first audio.", START_S
        )
        self._turn = histogram(
            "turn_seconds", "From the end of the caller's speech to the first frame.", TURN_S, "agent"
        )
        self._barge_in = histogram(
            "barge_in_seconds", "From the beginning of the caller's speech to silence.", BARGE_IN_S
        )
        self._length = histogram("call_seconds", "Length of calls that have ended.", CALL_S)
        self._tool = histogram("tool_seconds", "From a tool call to its answer.", TOOL_S, "tool")
        self._rtt = histogram("agent_rtt_seconds", "Round trip to the agent, by its own pings.", RTT_S)
        self._leave = histogram(
            "leave_seconds", "From the request of a transfer or hang-up until it is done.", LEAVE_S, "kind"
        )
        self._begin_series()

    def _begin_series(self) -> None:
        for reason in EndReason:
            self._ends.labels(result_of(reason), reason)
        for outcome in events.TransferOutcome:
            self._transfers.labels(_word(outcome), UNNAMED)
        for tool in self._tools():
            for tool_outcome in TOOL_OUTCOMES:
                self._tool_calls.labels(tool, tool_outcome)
        for by in ("agent", "local"):
            self._interruptions.labels(by)
        for hold in ("confirmed", "resumed"):
            self._holds.labels(hold)
        for status in QUEUE_STATUSES:
            self._queued.labels(status)

    def follow(self, event: events.CallEvent, record: CallRecord) -> None:
        """Count an event; ``record`` is the call's after it: a `Follower` of the ledger."""
        match event:
            case events.AgentPinged(rtt_ms=rtt_ms):
                self._rtt.observe(rtt_ms / 1000)
            case events.ReplyStarted():
                self._count_reply(event, record)
            case events.ReplyFinished():
                self._progress(record).ran_dry_at = event.at
            case events.ReplyHeard():
                self._progress(record).ran_dry_at = None
            case events.TurnTaken(latency_ms=latency_ms):
                self._turn.labels(self._agent(record)).observe(latency_ms / 1000)
            case events.ReplyHeld():
                self._progress(record).held = True
            case events.ReplyResumed():
                self._progress(record).held = False
                self._holds.labels("resumed").inc()
            case events.Interrupted():
                self._count_interruption(event, record)
            case events.ToolAnswered():
                self._count_tool(event, record)
            case events.SetupStepDone(step=step, ms=ms):
                self._setup.labels(step).observe(ms / 1000)
                self._begin_series_of(record)
            case events.AgentSilent():
                self._count_silence(record)
            case events.AnswerLate():
                self._late.labels(self._agent(record)).inc()
            case events.CallerUndecodable():
                self._undecodable.inc()
            case events.AgentQueued(status=status):
                self._queued.labels(status if status in QUEUE_STATUSES else OTHER).inc()
            case events.TransferRequested():
                self._progress(record).leaves_since = event.at
            case events.TransferDecided():
                self._count_transfer(event, record)
            case events.CallEnded():
                self._count_end(event, record)
            case _:
                pass

    def _progress(self, record: CallRecord) -> _Progress:
        progress = self._calls.get(record.uuid)
        if progress is None:
            progress = self._calls[record.uuid] = _Progress()
        return progress

    def _agent(self, record: CallRecord) -> str:
        return self._places(record)[1]

    def _begin_series_of(self, record: CallRecord) -> None:
        """Begin the series of an agent that an alert compares with the number of calls."""
        agent = self._agent(record)
        if agent not in self._known_agents:
            self._known_agents.add(agent)
            for counter in (self._silent, self._late, self._turns, self._conversation):
                counter.labels(agent)

    def _count_reply(self, event: events.ReplyStarted, record: CallRecord) -> None:
        progress = self._progress(record)
        # Had another reply begun, the end of this one would have been reported (`ReplyHeard`).
        if progress.ran_dry_at is not None and event.at - progress.ran_dry_at <= UNDERRUN_S:
            self._underruns.inc()
        else:
            self._turns.labels(self._agent(record)).inc()
        progress.ran_dry_at = None
        if not progress.heard and record.first_audio_ms is not None:
            progress.heard = True
            self._first_audio.observe(record.first_audio_ms / 1000)

    def _count_silence(self, record: CallRecord) -> None:
        progress = self._progress(record)
        if not progress.silent:
            progress.silent = True
            self._silent.labels(self._agent(record)).inc()

    def _count_interruption(self, event: events.Interrupted, record: CallRecord) -> None:
        progress = self._progress(record)
        self._interruptions.labels("local" if progress.held else "agent").inc()
        if progress.held:
            progress.held = False
            self._holds.labels("confirmed").inc()
        progress.ran_dry_at = None
        self._discarded.inc(event.discarded_ms / 1000)
        if event.silence_ms is not None:
            self._barge_in.observe(event.silence_ms / 1000)

    def _count_tool(self, event: events.ToolAnswered, record: CallRecord) -> None:
        tool = event.name if event.name in self._tools() else OTHER
        self._tool_calls.labels(tool, ToolOutcome.ERROR if event.is_error else ToolOutcome.OK).inc()
        for run in reversed(record.tools):
            if run.tool_call_id == event.tool_call_id and run.ms is not None:
                self._tool.labels(tool).observe(run.ms / 1000)
                break
        if event.name == HANG_UP_TOOL and not event.is_error:
            self._progress(record).leaves_since = event.at

    def _count_transfer(self, event: events.TransferDecided, record: CallRecord) -> None:
        name = self._destination(event.name) if event.name else UNNAMED
        self._transfers.labels(_word(event.outcome), name).inc()
        if event.outcome is events.TransferOutcome.DONE:
            self._count_leaving(self._progress(record), event.at, "transfer")

    def _count_leaving(self, progress: _Progress, now: float, kind: str) -> None:
        if progress.leaves_since is not None:
            self._leave.labels(kind).observe(now - progress.leaves_since)
            progress.leaves_since = None

    def _count_end(self, event: events.CallEnded, record: CallRecord) -> None:
        progress = self._calls.pop(record.uuid, None)
        reason, result = event.reason, result_of(event.reason)
        pbx, agent = self._places(record)
        self._ended.labels(result, reason, agent, pbx).inc()
        self._ends.labels(result, reason).inc()
        self._length.observe(event.duration_ms / 1000)
        self._heard.inc(event.heard_ms / 1000)
        if record.setup_ms is not None:
            self._conversation.labels(agent).inc(max(0, event.duration_ms - record.setup_ms) / 1000)
        if isinstance(event.end.cause, WebSocketClosed):
            self._closes.labels(self._close_code(str(event.end.cause.code))).inc()
        if progress is not None and reason is EndReason.AGENT_HANGUP:
            self._count_leaving(progress, event.at, "hangup")


def _word(outcome: events.TransferOutcome) -> str:
    return outcome.replace(" ", "_")
