"""The client of one Asterisk's manager interface: it reconnects by itself, and fails at once while
disconnected.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass
from hashlib import md5
from typing import Self

from audiosocket_gw.ami.address import AmiAddress
from audiosocket_gw.ami.connection import ACTION_ID_PREFIX, AmiActionError, AmiConnection, Answer, Values
from audiosocket_gw.ami.listing import SharedListing
from audiosocket_gw.ami.outcome import OnAction
from audiosocket_gw.ami.registry import ChannelRegistry, Headers
from audiosocket_gw.ami.releases import Release, limitations
from audiosocket_gw.errors import ConfigurationError, ControlError, LocalProtocolError, reason_of
from audiosocket_gw.log.limit import at_most

logger = logging.getLogger("audiosocket_gw.ami")

EVENT_MASK = "call,dialplan"

FILTERS = (
    ("name(Newexten),header(Application),method(exact)", "AudioSocket"),
    ("name(Newexten),header(AppData),method(contains)", "AudioSocket"),
    ("name(OriginateResponse),header(ActionID),method(starts_with)", ACTION_ID_PREFIX),
)
"""Filters for the needed events; `asterisk/manager.conf` has them as ``eventfilter`` lines.

Hangup isn't needed: every call of the PBX has one, and nothing in it identifies ours. The registry works
without it, since every channel is checked before something is done to it.
"""

FUNCTIONS = {"REPLACE": ("LEN(abc)", "3"), "CALLERID": ("CALLERID(num-pres)", ".+")}
"""Dialplan functions that are used: a question that shows whether one is loaded, and its answer.

LEN() is in func_strings, like REPLACE(), and needs no channel.
"""

_TROUBLE = "trouble: "
"""Prefix of the reports on a failed connection; each reason is logged once until it succeeds."""

USELESS_EVENTS_TOLERATED = 1_000
"""Events of other calls on one connection that show that nothing filters them."""

SHUTTING_DOWN = "Asterisk is shutting down"
"""Asterisk's answer to every action while it stops: the password isn't the problem."""


class LoginRefused(ControlError):
    """Asterisk rejected the login: the user, the password or this machine's address."""


@dataclass(frozen=True, slots=True)
class AmiTiming:
    """Time limits of a client and its actions; all in seconds.

    A half-open connection is cut ``ping_interval_s + ping_deadline_s`` after the last sign of life, at most.
    ``registry_wait_s``: Asterisk reports a channel before it connects the call, but on another connection,
    so the report may come later. ``landing_s``: from a Redirect until the caller is there.
    ``originate_grace_s``: from the end of the ringing until the report on an Originate.
    """

    connect_s: float = 5.0
    action_s: float = 5.0
    ping_interval_s: float = 5.0
    ping_deadline_s: float = 3.0
    first_retry_s: float = 0.5
    max_retry_s: float = 30.0
    refused_retry_s: float = 60.0
    registry_wait_s: float = 0.5
    landing_s: float = 3.0
    originate_grace_s: float = 5.0


class AmiClient:
    """A connection that is reopened whenever it is lost; use it with ``async with``.

    Nothing is queued: an action fails at once without a connection, and unanswered actions fail when the
    connection is lost. ``registry`` has the channels of the calls; ``peer_host`` is the last known address of
    the host, or empty; ``functions`` are those of `FUNCTIONS` that this Asterisk has.
    """

    def __init__(
        self, address: AmiAddress, timing: AmiTiming | None = None, on_action: OnAction | None = None
    ) -> None:
        self.address = address
        self._on_action = on_action
        self.peer_host = ""
        self.registry = ChannelRegistry()
        self.functions: frozenset[str] = frozenset()
        self.timing = timing or AmiTiming()
        self._listing = SharedListing(self._list_channels)
        self._connection: AmiConnection | None = None
        self.lost_at = time.time()
        """When the last connection was lost, in seconds since the epoch."""
        self._serving: asyncio.Task[None] | None = None
        self._updated = asyncio.Event()
        self._useless_events = 0
        self._retry_s = self.timing.first_retry_s
        self._filtered_by = ""
        self._said: set[str] = set()

    async def __aenter__(self) -> Self:
        self._serving = asyncio.get_running_loop().create_task(self._serve(), name=f"AMI {self.address}")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._serving is not None
        self._listing.close()
        self._serving.cancel()
        with suppress(asyncio.CancelledError):
            await self._serving

    @property
    def connected(self) -> bool:
        """Whether the client is logged in and the connection is up."""
        return self._connection is not None and not self._connection.lost.done()

    async def perform(self, name: str, values: Values, deadline_s: float | None = None) -> Answer:
        """Perform an action, and wait for its complete answer.

        Raises:
            LocalProtocolError: a header can't be sent; nothing was.
            AmiActionError: Asterisk answered with an error.
            ControlError: not connected, connection lost, or no answer in time; it is not sent again.
        """
        connection = self._connection_for(name)
        return await connection.perform(name, values, deadline_s or self.timing.action_s)

    async def refresh(self) -> None:
        """List Asterisk's channels, and update the registry; at most once a second, for all who ask.

        Raises:
            ControlError: as `perform`.
        """
        self._connection_for("CoreShowChannels")
        await self._listing.run()

    def _connection_for(self, action: str) -> AmiConnection:
        if self._connection is None or not self.connected:
            raise ControlError(
                f"{action}: not connected to the manager interface of Asterisk at {self.address}"
            )
        return self._connection

    async def _list_channels(self) -> None:
        answer = await self.perform("CoreShowChannels", {})
        self.registry.add(answer.rows)

    async def wait_for_update(self) -> None:
        """Wait until the registry or the connection has changed."""
        await self._updated.wait()

    # The connection's life

    async def _serve(self) -> None:
        while True:
            pause_s = await self._attempt()
            await asyncio.sleep(pause_s * random.uniform(0.75, 1.25))

    async def _attempt(self) -> float:
        """Connect, and wait until the connection is lost; return the time to wait before the next attempt."""
        try:
            await self._session()
        except LoginRefused as refusal:
            self._say_once(logging.ERROR, f"{_TROUBLE}{refusal}", _LOGIN_REFUSED, self.address, refusal)
            return self.timing.refused_retry_s
        except (ConfigurationError, ControlError, LocalProtocolError, OSError) as error:
            # TimeoutError is an OSError. AMI_TLS_CA_FILE may have become unusable since the start.
            reason = reason_of(error, f"no connection in {self.timing.connect_s:g} s")
            if isinstance(error, ssl.SSLCertVerificationError):
                reason += _UNVERIFIED
            self._say_once(logging.WARNING, f"{_TROUBLE}{reason}", _LOST, self.address, reason)
        pause_s = self._retry_s
        self._retry_s = min(2 * pause_s, self.timing.max_retry_s)
        return pause_s

    async def _session(self) -> None:
        address = self.address
        # In a thread: reading the system's authorities takes longer than a frame of audio.
        context = await asyncio.to_thread(address.ssl_context)
        async with asyncio.timeout(self.timing.connect_s):
            connection = await AmiConnection.open(
                address.host,
                address.port,
                context,
                self._on_event,
                address.certified_name,
                self._on_action,
            )
        try:
            await self._log_in(connection)
            await self._subscribe(connection)
            self.functions = await self._functions(connection)
            await self._look_at_release(connection)
            self._connection = connection
            self.peer_host = connection.peer_host
            await self._list_calls()
            self._announce()
            await self._watch(connection)
        finally:
            if self._connection is not None:
                self.lost_at = time.time()
            self._connection = None
            connection.cut("the gateway closed the connection")
            await asyncio.wait([connection.lost])  # which a cancellation doesn't clear
            self._wake()

    async def _log_in(self, connection: AmiConnection) -> None:
        """Log in without events: the filters must be set first."""
        password = self.address.password.get_secret_value()
        values = {"Username": self.address.username, "Events": "off"}
        if self.address.md5:
            answer = await connection.perform("Challenge", {"AuthType": "MD5"}, self.timing.action_s)
            challenge = answer.headers.get("Challenge", "")
            key = md5(f"{challenge}{password}".encode(), usedforsecurity=False).hexdigest()
            values |= {"AuthType": "MD5", "Key": key}
        else:
            values |= {"Secret": password}
        try:
            await connection.perform("Login", values, self.timing.action_s)
        except AmiActionError as refusal:
            if refusal.reply == SHUTTING_DOWN:
                raise
            raise LoginRefused(refusal.reply) from None

    async def _subscribe(self, connection: AmiConnection) -> None:
        """Subscribe to the needed events; filters of manager.conf always apply."""
        self.registry.clear()
        self._useless_events = 0
        try:
            for criteria, value in FILTERS:
                filter_ = {"Operation": "Add", "MatchCriteria": criteria, "Filter": value}
                await connection.perform("Filter", filter_, self.timing.action_s)
        except AmiActionError as refusal:
            logger.debug("%s: %s; the eventfilter lines of manager.conf must do", self.address, refusal)
            self._filtered_by = "the eventfilter lines of its manager.conf"
        else:
            self._filtered_by = "the filters of this connection"
        await connection.perform("Events", {"EventMask": EVENT_MASK}, self.timing.action_s)

    async def _functions(self, connection: AmiConnection) -> frozenset[str]:
        """Check for the dialplan functions: using a missing one causes an error in Asterisk's log."""
        found = set()
        try:
            for function, (question, answer) in FUNCTIONS.items():
                reply = await connection.perform("Getvar", {"Variable": question}, self.timing.action_s)
                if re.fullmatch(answer, reply.headers.get("Value", "")):
                    found.add(function)
        except ControlError as error:
            logger.debug("%s: %s; channel variables are read as they are", self.address, error)
        return frozenset(found)

    async def _list_calls(self) -> None:
        try:
            await self._list_channels()
        except AmiActionError as refusal:
            self._say_once(logging.WARNING, "unlisted", _UNLISTED, self.address, refusal)

    async def _watch(self, connection: AmiConnection) -> None:
        """Wait until the connection is lost, and check that it is alive.

        Everything received is a sign of life: Asterisk answers a ping after the events that it queued before.
        """
        while True:
            await asyncio.wait([connection.lost], timeout=self.timing.ping_interval_s)
            if connection.lost.done():
                raise ControlError(connection.lost.result())
            reads = connection.reads
            try:
                await connection.perform("Ping", {}, self.timing.ping_deadline_s)
            except ControlError as error:
                is_late = not isinstance(error, AmiActionError) and connection.reads != reads
                if is_late and not connection.lost.done():
                    continue
                connection.cut(f"it is dead: {error}")
                raise

    def _announce(self) -> None:
        logger.info(
            "%s: connected to Asterisk's manager interface; events are limited by %s",
            self.address,
            self._filtered_by,
            extra=at_most(1, str(self.address)),
        )
        self._said = {topic for topic in self._said if not topic.startswith(_TROUBLE)}
        self._retry_s = self.timing.first_retry_s
        self._wake()

    async def _look_at_release(self, connection: AmiConnection) -> None:
        """Warn about missing features of this Asterisk's release, if the user may ask for it."""
        try:
            answer = await connection.perform("CoreSettings", {}, self.timing.action_s)
        except ControlError as error:
            logger.debug("%s: its release isn't known: %s", self.address, error)
            return
        version = answer.headers.get("AsteriskVersion", "")
        release = Release.parse(version)
        if release is not None and (said := limitations(release)):
            self._say_once(
                logging.WARNING, f"release {version}", _RELEASE, self.address, version, "; ".join(said)
            )

    # Events

    def _on_event(self, event: Headers) -> None:
        if self.registry.apply(event):
            self._wake()
            return
        self._useless_events += 1
        if self._useless_events == USELESS_EVENTS_TOLERATED:
            self._say_once(logging.WARNING, "unfiltered", _UNFILTERED, self.address)

    def _wake(self) -> None:
        self._updated.set()
        self._updated = asyncio.Event()

    def _say_once(self, level: int, topic: str, message: str, *arguments: object) -> None:
        """Log a lasting condition only the first time."""
        about = at_most(1, str(self.address))
        logger.log(logging.DEBUG if topic in self._said else level, message, *arguments, extra=about)
        self._said.add(topic)


_LOGIN_REFUSED = (
    "%s: Asterisk's manager interface rejected the login (%s): set AMI_USERNAME and AMI_PASSWORD to a "
    "section of its manager.conf and the secret there, check that permit= includes this machine, and run "
    "`manager reload`. Until then agents can't transfer; the login is retried"
)
_LOST = "%s: no connection to Asterisk's manager interface (AMI_HOST): %s; it is retried, and calls continue"
_UNVERIFIED = " (set AMI_TLS_CA_FILE to its authority, and AMI_TLS_NAME to the name in it)"
_UNLISTED = "%s: calls already in progress can't be found: %s"
_RELEASE = "%s: this is Asterisk %s, with which: %s. docs/asterisk.md lists the releases without this"
_UNFILTERED = (
    "%s: Asterisk sends the events of all calls, which costs CPU on a busy PBX: put all "
    "eventfilter lines of asterisk/manager.conf into its manager.conf. Releases before 18.26, 20.11, 21.6 "
    "and 22.1 silently ignore those with name() and need the two older ones: "
    "`eventfilter = Event: Newexten.*Application: .*AudioSocket` and "
    f"`eventfilter = Event: OriginateResponse.*ActionID: {ACTION_ID_PREFIX}`"
)
