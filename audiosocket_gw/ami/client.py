"""The client of one Asterisk's manager interface: it stays connected, and says at once when it isn't."""

from __future__ import annotations

import asyncio
import logging
import random
import re
import ssl
from contextlib import suppress
from dataclasses import dataclass
from hashlib import md5
from typing import Self

from audiosocket_gw.ami.address import AmiAddress
from audiosocket_gw.ami.connection import ACTION_ID_PREFIX, AmiActionError, AmiConnection, Answer, Values
from audiosocket_gw.ami.registry import ChannelRegistry, Headers
from audiosocket_gw.ami.releases import Release, limitations
from audiosocket_gw.errors import ConfigurationError, ControlError, LocalProtocolError, reason_of

logger = logging.getLogger("audiosocket_gw.ami")

EVENT_MASK = "call,dialplan"

FILTERS = (
    ("name(Newexten),header(Application),method(exact)", "AudioSocket"),
    ("name(Newexten),header(AppData),method(contains)", "AudioSocket"),
    ("name(OriginateResponse),header(ActionID),method(starts_with)", ACTION_ID_PREFIX),
)
"""The events that are needed; as ``eventfilter`` lines they stand in `asterisk/manager.conf`.

Hangup is not among them: there is one for each call of the PBX, whosever it is, and nothing in it tells ours.
The registry gets on without, since every channel is checked before something is done to it.
"""

FUNCTIONS = {"REPLACE": ("LEN(abc)", "3"), "CALLERID": ("CALLERID(num-pres)", ".+")}
"""Dialplan functions of use here: what to ask to learn whether one is loaded, and the answer if so.

LEN() is of func_strings, as REPLACE() is, and needs no channel.
"""

_TROUBLE = "trouble: "
"""Begins what is said of a connection that doesn't come about, each reason once, until it does."""

USELESS_EVENTS_TOLERATED = 1_000
"""So many of other people's calls on one connection: nothing filters them."""

SHUTTING_DOWN = "Asterisk is shutting down"
"""What Asterisk answers to every action while it stops: the password isn't the trouble."""


class LoginRefused(ControlError):
    """Asterisk doesn't know the user, or not with this password, or not from this machine."""


@dataclass(frozen=True, slots=True)
class AmiTiming:
    """Time limits of a client, and of what is asked through it; all in seconds.

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
    """A connection that is made again whenever it is lost; ``async with`` it.

    Nothing is kept for later: an action fails at once when there is no connection, and what a lost connection
    leaves unanswered fails too. ``registry`` knows the channels of the calls; ``peer_host`` is the
    address that the host was last seen to have, or nothing; ``functions`` are those of `FUNCTIONS` that this
    Asterisk has.
    """

    def __init__(self, address: AmiAddress, timing: AmiTiming | None = None) -> None:
        self.address = address
        self.peer_host = ""
        self.registry = ChannelRegistry()
        self.functions: frozenset[str] = frozenset()
        self.timing = timing or AmiTiming()
        self._connection: AmiConnection | None = None
        self._serving: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._useless_events = 0
        self._retry_s = self.timing.first_retry_s
        self._filtered_by = ""
        self._said: set[str] = set()

    async def __aenter__(self) -> Self:
        self._serving = asyncio.get_running_loop().create_task(self._serve(), name=f"AMI {self.address}")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._serving is not None
        self._serving.cancel()
        with suppress(asyncio.CancelledError):
            await self._serving

    @property
    def connected(self) -> bool:
        """Logged in, and not lost yet."""
        return self._connection is not None and not self._connection.lost.done()

    async def perform(self, name: str, values: Values, deadline_s: float | None = None) -> Answer:
        """Have Asterisk carry out an action, and wait for all of its answer.

        Raises:
            LocalProtocolError: a header can't be sent; nothing was.
            AmiActionError: Asterisk answered with an error.
            ControlError: not connected, connection lost, or no answer in time; it is not sent again.
        """
        if self._connection is None or not self.connected:
            raise ControlError(
                f"{name}: not connected to the manager interface of Asterisk at {self.address}"
            )
        return await self._connection.perform(name, values, deadline_s or self.timing.action_s)

    async def refresh(self) -> None:
        """Ask Asterisk which channels there are, and learn from all of them.

        Raises:
            ControlError: as `perform`.
        """
        answer = await self.perform("CoreShowChannels", {})
        self.registry.add(answer.rows)

    async def wait_for_update(self) -> None:
        """Wait until the registry has learnt something, or the connection has changed."""
        await self._news.wait()

    # The connection's life

    async def _serve(self) -> None:
        while True:
            pause_s = await self._attempt()
            await asyncio.sleep(pause_s * random.uniform(0.75, 1.25))

    async def _attempt(self) -> float:
        """Connect, and stay until the connection is lost; return how long to wait before the next."""
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
        # Reading the authorities of the system takes longer than a frame of audio.
        context = await asyncio.to_thread(address.ssl_context)
        async with asyncio.timeout(self.timing.connect_s):
            connection = await AmiConnection.open(
                address.host, address.port, context, self._on_event, address.certified_name
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
            self._connection = None
            connection.cut("the gateway closed the connection")
            await asyncio.wait([connection.lost])  # which a cancellation leaves as it is
            self._wake()

    async def _log_in(self, connection: AmiConnection) -> None:
        """Log in, without events: what isn't needed must be filtered out first."""
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
        """Have Asterisk send the events that are needed; filters of manager.conf stand in any case."""
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
        """Ask for the dialplan functions: to use one that isn't there is an error in Asterisk's log."""
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
            await self.refresh()
        except AmiActionError as refusal:
            self._say_once(logging.WARNING, "unlisted", _UNLISTED, self.address, refusal)

    async def _watch(self, connection: AmiConnection) -> None:
        """Stay until the connection is lost, and see that it lives."""
        while True:
            await asyncio.wait([connection.lost], timeout=self.timing.ping_interval_s)
            if connection.lost.done():
                raise ControlError(connection.lost.result())
            try:
                await connection.perform("Ping", {}, self.timing.ping_deadline_s)
            except ControlError as error:
                connection.cut(f"it is dead: {error}")
                raise

    def _announce(self) -> None:
        logger.info(
            "%s: connected to Asterisk's manager interface; events are limited by %s",
            self.address,
            self._filtered_by,
        )
        self._said = {topic for topic in self._said if not topic.startswith(_TROUBLE)}
        self._retry_s = self.timing.first_retry_s
        self._wake()

    async def _look_at_release(self, connection: AmiConnection) -> None:
        """Warn of what this Asterisk can't do, by name; a user who may not ask hears nothing."""
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
        self._news.set()
        self._news = asyncio.Event()

    def _say_once(self, level: int, topic: str, message: str, *arguments: object) -> None:
        """Log what is so until it changes: the first time only."""
        logger.log(logging.DEBUG if topic in self._said else level, message, *arguments)
        self._said.add(topic)


_LOGIN_REFUSED = (
    "%s: Asterisk's manager interface refused the login (%s): set AMI_USERNAME and AMI_PASSWORD to a section "
    "of its manager.conf and the secret there, see that permit= includes this machine, run `manager reload`. "
    "Until then agents can't transfer; it is tried again now and then"
)
_LOST = "%s: no connection to Asterisk's manager interface (AMI_HOST): %s; it is tried again, and calls go on"
_UNVERIFIED = " (set AMI_TLS_CA_FILE to its authority, and AMI_TLS_NAME to the name in it)"
_UNLISTED = "%s: calls that are up already can't be found: %s"
_RELEASE = "%s: this is Asterisk %s, with which: %s. docs/asterisk.md says since when it isn't so"
_UNFILTERED = (
    "%s: Asterisk sends the events of everybody's calls, which costs more the more the PBX does: put all "
    "eventfilter lines of asterisk/manager.conf into its manager.conf. Releases before 18.26, 20.11, 21.6 "
    "and 22.1 ignore those with name() without a word and need the two older ones: "
    "`eventfilter = Event: Newexten.*Application: .*AudioSocket` and "
    f"`eventfilter = Event: OriginateResponse.*ActionID: {ACTION_ID_PREFIX}`"
)
