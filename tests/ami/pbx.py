"""The laboratory's Asterisk, with manager users and a dialplan for what is tested here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import SecretStr

from audiosocket_gw.ami.address import AmiAddress
from audiosocket_gw.ami.call_control import CallControl
from audiosocket_gw.ami.client import FILTERS, AmiClient, AmiTiming
from tests.asterisk.lab import AMI_PASSWORD, STOP_LIMIT_S, Lab
from tests.harness.certificates import make_certificates

CERTIFIED_NAME = "pbx.example.com"
TIMING = AmiTiming(first_retry_s=0.1, max_retry_s=0.2, refused_retry_s=0.1)

DIALPLAN = """
[ami]
exten => app,1,Gosub(before-agent,s,1)
 same => n,AudioSocket(${CALL_UUID},${GATEWAY})
exten => try,1,Gosub(before-agent,s,1)
 same => n,TryExec(AudioSocket(${CALL_UUID},${GATEWAY}))
 same => n,Wait(600)
exten => dial,1,Gosub(before-agent,s,1)
 same => n,Dial(AudioSocket/${GATEWAY}/${CALL_UUID}/c(slin),,g)
 same => n,Wait(600)
exten => local-app,1,Answer()
 same => n,Dial(Local/app@ami)
exten => local-dial,1,Answer()
 same => n,Dial(Local/dial@ami)
exten => variables,1,Gosub(before-agent,s,1)
 same => n,Set(TIER=gold)
 same => n,Set(NOTE=a=b c)
 same => n,TryExec(AudioSocket(${CALL_UUID},${GATEWAY}))


; Says something of itself that has line breaks in it, and something long.
exten => claims,1,Gosub(before-agent,s,1)
 same => n,Set(NOTE=${URIDECODE(one%0D%0AChannel: PJSIP/9-9%0D%0ACallerIDNum: 911%0D%0A%0D%0AEvent: x%0Atwo)})
 same => n,Set(LONG=0123456789)
 same => n,Set(LONG=${LONG}${LONG}${LONG}${LONG}${LONG}${LONG}${LONG}${LONG}${LONG}${LONG})
 same => n,Set(LONG=${LONG}${LONG}${LONG}${LONG}${LONG}${LONG}${LONG}${LONG}${LONG}${LONG})
 same => n,Set(TIER=gold)
 same => n,TryExec(AudioSocket(${CALL_UUID},${GATEWAY}))
exten => named,1,Gosub(before-agent,s,1)
 same => n,Set(CALLERID(name)=${URIDECODE(${NAME})})
 same => n,TryExec(AudioSocket(${CALL_UUID},${GATEWAY}))
exten => bytes,1,Gosub(before-agent,s,1)
 same => n,Set(NOTE=${URIDECODE(${BYTES})})
 same => n,TryExec(AudioSocket(${CALL_UUID},${GATEWAY}))
exten => withheld,1,Gosub(before-agent,s,1)
 same => n,Set(CALLERID(pres)=prohib_passed_screen)
 same => n,TryExec(AudioSocket(${CALL_UUID},${GATEWAY}))
exten => queued,1,Goto(s,1)
exten => s,1,Gosub(before-agent,s,1)
 same => n,TryExec(AudioSocket(${CALL_UUID},${GATEWAY}))

exten => target,1,NoOp(AVR_RESULT is ${AVR_RESULT})
 same => n,Wait(600)
exten => _6XX,1,Goto(target,1)
exten => busy,1,Busy()
exten => unanswered,1,Wait(600)

; Other people's calls: a step now and then, for some seconds.
exten => others,1,Answer()
 same => n,Set(ROUND=0)
 same => n(again),Set(ROUND=$[${ROUND} + 1])
 same => n,NoOp(round ${ROUND} of ${CHANNEL(name)})
 same => n,Wait(0.5)
 same => n,GotoIf($[${ROUND} < 8]?again)
 same => n,Hangup()
"""

USERS = """
; as the gateway, and nothing filters its events
[unfiltered]
secret = lab-gateway
read = call,dialplan
write = call,originate,reporting

; sets its own filters
[own-filters]
secret = lab-gateway
read = call,dialplan
write = call,originate,reporting,system

; as asterisk/manager.conf should have it
[filtered]
secret = lab-gateway
read = call,dialplan
write = call,originate,reporting
{filters}

[powerless]
secret = lab-gateway
read = call
write = log
"""


class Pbx(Lab):
    """Asterisk, and clients of its manager interface."""

    def _overlay(self, name: str) -> str:
        lines = "\n".join(f"eventfilter({criteria}) = {value}" for criteria, value in FILTERS)
        added = {
            "extensions.conf": DIALPLAN,
            "manager.conf": USERS.format(filters=lines),
            "modules.conf": "load = func_uri.so\n",
        }
        more = self._tls_lines() if name == "manager.conf" else ""
        return super()._overlay(name) + added.get(name, "") + more

    def _tls_lines(self) -> str:
        self.certificates = make_certificates(self._home, CERTIFIED_NAME)
        bound, certificate = f"127.0.0.1:{self.tls_port}", self._inside(self.certificates.server)
        return f"[general](+)\ntlsenable = yes\ntlsbindaddr = {bound}\ntlscertfile = {certificate}\n"

    @property
    def tls_port(self) -> int:
        """The manager interface by TLS."""
        return self.ports.handset

    def kill(self) -> None:
        """End Asterisk without a word."""
        self._process.kill()
        self._process.wait(STOP_LIMIT_S)

    def start_again(self) -> None:
        """Start Asterisk after `kill`; not in another thread, for it dies with the thread that started it."""
        self._process = self._start()
        self._wait_until_ready()

    def address(
        self, user: str = "gateway", password: str = AMI_PASSWORD, *, md5: bool = False
    ) -> AmiAddress:
        return AmiAddress("127.0.0.1", user, SecretStr(password), port=self.ports.ami, md5=md5)

    @asynccontextmanager
    async def client(self, user: str = "gateway") -> AsyncIterator[AmiClient]:
        async with AmiClient(self.address(user), TIMING) as client:
            await connected(client)
            yield client

    @asynccontextmanager
    async def control(self, user: str = "gateway") -> AsyncIterator[CallControl]:
        async with self.client(user) as client:
            yield CallControl(client)


async def connected(client: AmiClient) -> None:
    """Wait until the client has a connection; the test's limit bounds it."""
    while not client.connected:
        await asyncio.sleep(0.02)
